//! A global allocator that counts, to show that a path allocates nothing.
//!
//! A binary installs it with `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`.
//! Counts are per thread: what other threads allocate meanwhile does not disturb them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    // Constant initialisers and no destructor: reading these never allocates.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with every allocation and growth counted.
#[derive(Debug)]
pub struct CountingAllocator;

/// What one thread allocated during a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// Allocations and reallocations.
    pub count: u64,
    /// Bytes they asked for.
    pub bytes: u64,
}

/// Why allocations cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("allocations are not counted: the program does not install CountingAllocator")]
pub struct NotInstalled;

/// Runs `work` and tells what this thread allocated meanwhile.
///
/// # Errors
/// [`NotInstalled`], so that a count of zero is never the count of an allocator that is not there.
pub fn count_during<T>(work: impl FnOnce() -> T) -> Result<(T, Allocated), NotInstalled> {
    let before_probe = read();
    drop(black_box(Box::new(0_u8)));
    let before = read();
    if before.count == before_probe.count {
        return Err(NotInstalled);
    }
    let result = work();
    let after = read();
    let allocated = Allocated { count: after.count - before.count, bytes: after.bytes - before.bytes };
    Ok((result, allocated))
}

/// This thread's counts since it started.
fn read() -> Allocated {
    Allocated { count: ALLOCATIONS.get(), bytes: BYTES.get() }
}

/// Books one allocation of this thread.
fn book(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    BYTES.set(BYTES.get() + bytes as u64);
}

// SAFETY: every method hands its arguments unchanged to `System`, which keeps the trait's contract,
// and returns `System`'s answer unchanged. `book` neither allocates nor unwinds: it adds to `Cell`s
// that are initialised at compile time and have no destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size());
        // SAFETY: the caller promises a layout of non-zero size, which is all that `System` asks.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        book(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        book(new_bytes);
        // SAFETY: the caller promises that `pointer` came from this allocator with `layout`; every
        // such pointer came from `System` with the same layout.
        unsafe { System.realloc(pointer, layout, new_bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn a_vector_of_64_bytes_is_one_allocation_of_64_bytes() {
        let (vector, allocated) =
            count_during(|| black_box(Vec::<u8>::with_capacity(64))).expect("installed");
        assert_eq!(allocated, Allocated { count: 1, bytes: 64 });
        drop(vector);
    }

    #[test]
    fn arithmetic_and_other_threads_allocations_count_as_nothing() {
        let (start, started) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            started.recv().expect("the test sends");
            black_box(vec![0_u8; 1 << 16]).len()
        });
        start.send(()).expect("the other thread waits");
        let (sum, allocated) = count_during(|| (0..1000_u64).map(black_box).sum::<u64>()).expect("installed");
        assert_eq!((sum, allocated), (499_500, Allocated { count: 0, bytes: 0 }));
        assert_eq!(other.join().expect("no panic"), 1 << 16);
    }
}
