//! A worker's batch of frames in the memory of a BPF map, and the system call that sends it as live XDP frames.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, ensure};
use libbpf_rs::{MapCore as _, Object};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::object;

/// Frames that one call sends at most: `BATCH_FRAMES` of `bpf/live_frames.bpf.c`.
pub(crate) const BATCH_FRAMES: usize = 128;

/// Longest frame: `FRAME_BYTES` of `bpf/live_frames.bpf.c`.
pub(crate) const FRAME_BYTES: usize = 3392;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;

/// One frame, as `bpf/live_frames.bpf.c` declares it.
#[repr(C)]
struct Slot {
    ifindex: u32,
    len: u32,
    bytes: [u8; FRAME_BYTES],
}

/// One worker's frames, as `bpf/live_frames.bpf.c` declares it.
#[repr(C)]
struct Batch {
    next: u64,
    slots: [Slot; BATCH_FRAMES],
}

/// One worker's batch.
#[derive(Debug)]
pub(crate) struct Transmitter {
    base: NonNull<c_void>,
    len: usize,
    worker: usize,
    program: OwnedFd,
    count: usize,
    input: [u8; 64],
}

// SAFETY: an address range of the process and a file descriptor; nothing about them belongs to a thread.
unsafe impl Send for Transmitter {}

/// Loads the program, and maps the batches of so many workers.
///
/// # Errors
/// The kernel refuses the program, the map or the mapping.
pub(crate) fn load(workers: u32) -> anyhow::Result<(Object, Vec<Transmitter>)> {
    let mut open = object::open(object::LIVE_FRAMES)?;
    object::set_entries(&mut open, "BATCHES", workers)?;
    let mut object = object::load(open, object::LIVE_FRAMES)?;
    let program = object::program_mut(&mut object)?.as_fd().try_clone_to_owned()?;
    let batches = object::map(&object, "BATCHES")?;
    ensure!(batches.value_size() as usize == size_of::<Batch>(), "the program has another batch");
    let transmitters = (0..workers)
        .map(|worker| Transmitter::map(batches.as_fd(), program.try_clone()?, worker, workers))
        .collect::<io::Result<_>>()
        .context("cannot map the batches of frames")?;
    Ok((object, transmitters))
}

impl Transmitter {
    /// Maps the batches of all workers, to use that of one; called once for each.
    fn map(batches: BorrowedFd<'_>, program: OwnedFd, worker: u32, workers: u32) -> io::Result<Self> {
        let len = workers as usize * size_of::<Batch>();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place (null hint, no fixed flag), so no existing mapping is touched.
        let address = unsafe { mmap(core::ptr::null_mut(), len, access, MapFlags::SHARED, batches, 0)? };
        let base = NonNull::new(address).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut input = [0; 64];
        input[..4].copy_from_slice(&worker.to_ne_bytes());
        Ok(Self { base, len, worker: worker as usize, program, count: 0, input })
    }

    /// Appends a copy of a frame, to be sent out of an interface; one that is too long or too short is not sent. Returns whether
    /// there was a place for it.
    #[inline]
    pub(crate) fn push(&mut self, ifindex: u32, frame: &[u8]) -> bool {
        let count = self.count;
        let Some(slot) = self.batch().slots.get_mut(count) else { return false };
        slot.ifindex = ifindex;
        // The program refuses a length that its room has not.
        slot.len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if let Some(bytes) = slot.bytes.get_mut(..frame.len()) {
            bytes.copy_from_slice(frame);
        }
        self.count += 1;
        true
    }

    /// Sends the frames that wait, in one call; afterwards none does. [`is_sent`](Self::is_sent) tells of each.
    ///
    /// # Errors
    /// The kernel refuses the call; as a rule none is sent then.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let count = core::mem::take(&mut self.count);
        self.batch().next = 0;
        // SAFETY: the structure is plain numbers and pointers, for all of which zero is a value: none.
        let mut options: libbpf_sys::bpf_test_run_opts = unsafe { core::mem::zeroed() };
        options.sz = size_of_val(&options) as libbpf_sys::size_t;
        options.data_in = self.input.as_ptr().cast();
        options.data_size_in = u32::try_from(self.input.len()).unwrap_or(0);
        options.repeat = i32::try_from(count).unwrap_or(0);
        options.batch_size = u32::try_from(count).unwrap_or(0);
        options.flags = LIVE_FRAMES;
        // SAFETY: the options stand to the end of the call and point to the input, which does, too. The program reads and writes
        // the batch meanwhile, which nobody borrows: `self` is borrowed exclusively, and is the only one to refer to it.
        let result =
            unsafe { libbpf_sys::bpf_prog_test_run_opts(self.program.as_raw_fd(), &raw mut options) };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        Ok(())
    }

    /// Whether the frame that was pushed as the `place`-th, from 0, was given to its interface's driver by the last call.
    #[must_use]
    pub(crate) fn is_sent(&mut self, place: usize) -> bool {
        self.batch().slots.get(place).is_some_and(|slot| slot.len == 0)
    }

    /// The worker's own batch.
    fn batch(&mut self) -> &mut Batch {
        // SAFETY: `load` made the map with an element of this size for each worker, and called `map` for numbers below that only, so
        // the element lies in the mapping.
        let mut own = unsafe { self.base.cast::<Batch>().add(self.worker) };
        // SAFETY: the mapping is aligned to a page, and the size of an element is a multiple of 8; any bytes are a batch. `load` called
        // `map` once for each number, so no other value refers to this element, and the program writes it only during `send`, which
        // borrows `self` exclusively.
        unsafe { own.as_mut() }
    }
}

impl Drop for Transmitter {
    fn drop(&mut self) {
        // SAFETY: the range is what `mmap` gave for this value, unmapped nowhere else; no reference into it outlives `self`.
        let result = unsafe { munmap(self.base.as_ptr(), self.len) };
        debug_assert!(result.is_ok(), "a mapping of our own can be unmapped");
    }
}
