//! The XDP program: asks [`steer`] and obeys.
//!
//! Place on the path: attached to every port. Here are the maps, the accessors that read a frame and the maps, and one
//! match from decision to XDP action. Not here: any decision.
//!
//! | outcome | XDP action |
//! |---|---|
//! | engine, socket there | `XDP_REDIRECT` to the socket |
//! | engine, no socket, underlay | `XDP_PASS` |
//! | engine, no socket, access | `XDP_DROP` |
//! | kernel, for whatever reason | `XDP_PASS` |

#![no_std]
#![no_main]

use core::cell::Cell;

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, xdp_action, xdp_md};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, RingBuf, XskMap};
use aya_ebpf::macros::btf_map;
use ebpf::abi::{
    ACCESS_VLANS_MAX, AccessVlanKey, ENDPOINT_CELLS_MAX, ENDPOINTS_MAX, EndpointCellV4, EndpointCellV6,
    EndpointKey, EndpointV4, EndpointV6, EndpointValue, LOG_LEVEL_DEBUG, LOG_LEVEL_OFF, PORT_CELLS_MAX,
    PORTS_MAX, PortCell, PortConfig, SOCKETS_MAX, STATS_MAX, Stat, stat_key,
};
use ebpf::log_record::LogRecord;
use ebpf::packet_view::{OFFSET_MAX, PacketView};
use ebpf::steer::{Action, Decision, Ingress, Tables, steer};
use zerocopy::{FromBytes, Unaligned};

/// Room for log records, which the gateway reads while the level is raised.
const LOG_BYTES: usize = 1 << 17;
/// Entries take memory only once they exist.
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static PORTS: HashMap<u32, PortConfig, PORTS_MAX, NO_PREALLOC> = HashMap::new();
#[btf_map]
static PORT_CELLS: Array<PortCell, PORT_CELLS_MAX> = Array::new();
#[btf_map]
static ENDPOINT_CELLS_V4: Array<EndpointCellV4, ENDPOINT_CELLS_MAX> = Array::new();
#[btf_map]
static ENDPOINT_CELLS_V6: Array<EndpointCellV6, ENDPOINT_CELLS_MAX> = Array::new();
#[btf_map]
static ENDPOINTS_V4: HashMap<EndpointV4, EndpointValue, ENDPOINTS_MAX, NO_PREALLOC> = HashMap::new();
#[btf_map]
static ENDPOINTS_V6: HashMap<EndpointV6, EndpointValue, ENDPOINTS_MAX, NO_PREALLOC> = HashMap::new();
#[btf_map]
static ACCESS_VLANS: HashMap<AccessVlanKey, u8, ACCESS_VLANS_MAX, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SOCKETS: XskMap<SOCKETS_MAX> = XskMap::new();
#[btf_map]
static STATS: PerCpuArray<u64, STATS_MAX> = PerCpuArray::new();
#[btf_map]
static AYA_LOGS: RingBuf<(), LOG_BYTES> = RingBuf::new();

/// Set by the loader before the program is verified; stands in read-only memory, so that the verifier removes what
/// cannot run.
#[unsafe(no_mangle)]
static AYA_LOG_LEVEL: Global<u8> = Global::new(LOG_LEVEL_OFF);

/// The frame's linear part.
struct LinearView {
    start: usize,
    end: usize,
}

impl PacketView for LinearView {
    #[inline(always)]
    fn read<Header: FromBytes + Unaligned>(&self, offset: usize) -> Option<Header> {
        if offset > OFFSET_MAX {
            return None;
        }
        let address = self.start + offset;
        if address + size_of::<Header>() > self.end {
            return None;
        }
        // SAFETY: readable: `start` and `end` bound the frame's linear part, and the comparison above has shown that the
        // header's bytes from `address` on end before `end`; the verifier re-proves it for every call at load time.
        // Aligned: `Unaligned` types have alignment 1. Valid: `FromBytes` types are so for any bytes.
        Some(unsafe { core::ptr::read(address as *const Header) })
    }
}

/// The maps as the decision sees them. The gateway writes cells and values while they are read: each is plain bytes, compared and copied at once, and
/// `abi::cells` says what becomes of half-written ones. It remembers in which row the port's frames are counted.
struct KernelMaps {
    stat_row: Cell<u32>,
}

impl Tables for KernelMaps {
    #[inline(always)]
    fn port(&self, ifindex: u32) -> Option<PortConfig> {
        let cell = PORT_CELLS.get(PortCell::place(ifindex)).and_then(|cell| cell.config_of(ifindex));
        // SAFETY: the value is copied at once. A write by the gateway in the meantime can mix old and new bytes of it,
        // each of which is a valid `PortConfig`: the type is plain bytes.
        let port = *cell.or_else(|| unsafe { PORTS.get(ifindex) })?;
        self.stat_row.set(port.stat_row());
        Some(port)
    }

    #[inline(always)]
    fn is_covered(&self, vlan: &AccessVlanKey) -> bool {
        ACCESS_VLANS.get_ptr(vlan).is_some()
    }

    #[inline(always)]
    fn endpoint(&self, key: &EndpointKey) -> Option<EndpointValue> {
        match key {
            EndpointKey::V4(key) => {
                let cell =
                    ENDPOINT_CELLS_V4.get(EndpointCellV4::place(key)).and_then(|cell| cell.value_of(key));
                // SAFETY: the value is copied at once; any mix of old and new bytes is a valid `EndpointValue`: plain bytes.
                cell.or_else(|| unsafe { ENDPOINTS_V4.get(key) }).copied()
            }
            EndpointKey::V6(key) => {
                let cell =
                    ENDPOINT_CELLS_V6.get(EndpointCellV6::place(key)).and_then(|cell| cell.value_of(key));
                // SAFETY: as for IPv4.
                cell.or_else(|| unsafe { ENDPOINTS_V6.get(key) }).copied()
            }
        }
    }
}

/// The program's entry: decides about one frame, acts, counts.
///
/// The section's name tells loaders that the program copes with frames whose data is not all in the linear part.
// SAFETY: nothing else in the object has this name or stands in this section.
#[unsafe(no_mangle)]
// SAFETY: as above; loaders take a function in this section for an XDP program, which its signature is.
#[unsafe(link_section = "xdp.frags")]
extern "C" fn spanwire_steer(context: *const xdp_md) -> u32 {
    // SAFETY: the kernel calls an XDP program with a pointer to a valid `xdp_md` that lives until the program returns.
    let metadata = unsafe { &*context };
    let ingress = Ingress { ifindex: metadata.ingress_ifindex, rx_queue: metadata.rx_queue_index };
    let frame = LinearView { start: metadata.data as usize, end: metadata.data_end as usize };
    let maps = KernelMaps { stat_row: Cell::new(0) };
    let (action, stat) = obey(steer(&frame, &maps, ingress));
    count(maps.stat_row.get(), stat);
    log(stat, ingress);
    action
}

/// Acts on a decision; the slot's emptiness shows only when the redirect is tried.
#[inline(always)]
fn obey(decision: Decision) -> (u32, Stat) {
    match decision {
        Decision::Pass(stat) => (xdp_action::XDP_PASS, stat),
        Decision::Engine { slot: Some(slot), stat, .. } if SOCKETS.redirect(slot, 0).is_ok() => {
            (xdp_action::XDP_REDIRECT, stat)
        }
        Decision::Engine { side, .. } => match side.fallback() {
            (Action::Pass, stat) => (xdp_action::XDP_PASS, stat),
            (Action::Drop | Action::Redirect, stat) => (xdp_action::XDP_DROP, stat),
        },
    }
}

#[inline(always)]
fn count(row: u32, stat: Stat) {
    if let Some(counter) = STATS.get_ptr_mut(stat_key(row, stat)) {
        // SAFETY: the pointer is to this CPU's own counter, which only this program writes, and the kernel runs at most
        // one XDP program of a CPU at a time; the gateway only reads it.
        unsafe { *counter += 1 };
    }
}

#[inline(always)]
fn log(stat: Stat, ingress: Ingress) {
    if AYA_LOG_LEVEL.load() < LOG_LEVEL_DEBUG {
        return;
    }
    // A full ring buffer loses the record and nothing else. It is written there: its fields stand at odd addresses, where the verifier takes
    // no write to the stack.
    if let Some(mut place) = AYA_LOGS.reserve_untyped::<LogRecord>(0) {
        place.write(LogRecord::TEMPLATE).set(stat, ingress.ifindex, ingress.rx_queue);
        place.submit(0);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// `bpf_redirect_map` and the other helpers used are free of a GPL condition; the word stands for the program's licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
