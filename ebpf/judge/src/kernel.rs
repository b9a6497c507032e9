//! The object in the kernel, loaded through libbpf.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use ebpf::abi::{self, EndpointCellV4, EndpointCellV6, EndpointKey, PortCell, Stat};
use ebpf::steer::Action;
use libbpf_rs::{Map, MapCore, MapFlags, Object, ObjectBuilder, ProgramInput, ProgramMut};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::model::ModelTables;

/// The interface index under which test runs present their frames: every network namespace's loopback device.
pub(crate) const TEST_RUN_IFINDEX: u32 = 1;
/// The RX queue under which test runs present their frames.
pub(crate) const TEST_RUN_QUEUE: u32 = 0;

/// Where entries stand that have cells in front of their map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the map, as one whose cell another one has.
    Map,
    /// In the cell alone, which no gateway does: what is found then was found in the cell.
    Cell,
    /// In both.
    Both,
}

/// What the program in the kernel did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The XDP action.
    pub action: Action,
    /// The one counter that rose.
    pub stat: Stat,
}

/// The steering program, verified and ready to be run.
pub struct KernelProgram {
    object: Object,
    /// Cells that are not empty: the map's name, and the place.
    cells: Vec<(&'static str, u32)>,
    /// Sockets in the map; the kernel takes them out again when they are closed.
    sockets: Vec<OwnedFd>,
}

impl KernelProgram {
    /// Hands the object to the kernel.
    ///
    /// # Errors
    ///
    /// When libbpf or the verifier refuses the object; libbpf has then printed the verifier's words.
    pub fn load(object: &[u8]) -> Result<Self> {
        let mut builder = ObjectBuilder::default();
        builder.name("spanwire")?;
        let object = builder.open_memory(object).context("libbpf cannot read the object")?;
        let object = object.load().context("the kernel refuses the object")?;
        Ok(Self { object, cells: Vec::new(), sockets: Vec::new() })
    }

    /// Instructions that the verifier went through, over all paths.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell (before 5.16).
    pub fn verified_instructions(&self) -> Result<u64> {
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.program()?.as_fd().as_raw_fd()))?;
        let count = info.lines().find_map(|line| line.strip_prefix("verified_insns:"));
        Ok(count.context("the kernel does not tell how many instructions it verified")?.trim().parse()?)
    }

    /// Instructions in the program.
    ///
    /// # Errors
    ///
    /// When the object holds no steering program.
    pub fn instructions(&self) -> Result<usize> {
        Ok(self.program()?.insn_cnt())
    }

    /// Writes the tables into the program's maps, removing what an earlier call wrote. Access VLANs and sockets have no cells.
    ///
    /// # Errors
    ///
    /// When a map refuses an entry, or two have one cell.
    pub fn set_tables(&mut self, tables: &ModelTables, standing: Standing) -> Result<()> {
        for name in [abi::PORTS, abi::ENDPOINTS_V4, abi::ENDPOINTS_V6, abi::ACCESS_VLANS] {
            let map = self.map(name)?;
            for key in map.keys().collect::<Vec<_>>() {
                map.delete(&key)?;
            }
        }
        for (map, place) in std::mem::take(&mut self.cells) {
            let empty = vec![0; self.map(map)?.value_size() as usize];
            self.put(map, &place.to_ne_bytes(), &empty)?;
        }
        for (ifindex, port) in &tables.ports {
            let cell = PortCell::new(*ifindex, *port).to_bytes();
            let front = (abi::PORT_CELLS, PortCell::place(*ifindex), &cell[..]);
            self.enter(standing, abi::PORTS, &ifindex.to_ne_bytes(), &port.to_bytes(), front)?;
        }
        for (key, value) in &tables.endpoints {
            match key {
                EndpointKey::V4(key) => {
                    let cell = EndpointCellV4::new(*key, *value).to_bytes();
                    let front = (abi::ENDPOINT_CELLS_V4, EndpointCellV4::place(key), &cell[..]);
                    self.enter(standing, abi::ENDPOINTS_V4, &key.to_bytes(), &value.to_bytes(), front)?;
                }
                EndpointKey::V6(key) => {
                    let cell = EndpointCellV6::new(*key, *value).to_bytes();
                    let front = (abi::ENDPOINT_CELLS_V6, EndpointCellV6::place(key), &cell[..]);
                    self.enter(standing, abi::ENDPOINTS_V6, &key.to_bytes(), &value.to_bytes(), front)?;
                }
            }
        }
        for vlan in &tables.vlans {
            self.put(abi::ACCESS_VLANS, &vlan.to_bytes(), &[abi::COVERED])?;
        }
        self.sockets.clear();
        for slot in &tables.sockets {
            // An RX ring is all that the map asks of a socket; it is bound to no interface and receives nothing.
            let socket = rustix::net::socket(AddressFamily::XDP, SocketType::RAW, None)?;
            sockopt::set_xdp_rx_ring_size(&socket, 64)?;
            self.put(abi::SOCKETS, &slot.to_ne_bytes(), &socket.as_raw_fd().to_ne_bytes())?;
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// Runs the program once over a frame of at least 14 bytes.
    ///
    /// # Errors
    ///
    /// When the kernel cannot run it, or when not exactly one counter rose by one.
    pub fn run(&self, frame: &[u8]) -> Result<Observed> {
        let before = self.counters()?;
        let action = self.run_times(frame, 1)?.0;
        let after = self.counters()?;
        let rises: Vec<_> =
            Stat::ALL.into_iter().filter(|stat| before[*stat as usize] != after[*stat as usize]).collect();
        let [stat] = rises[..] else { anyhow::bail!("one counter should have risen, {rises:?} did") };
        let index = stat as usize;
        ensure!(after[index] == before[index] + 1, "{} rose by more than one", stat.name());
        Ok(Observed { action, stat })
    }

    /// Runs the program `count` times over a frame; the action, and the mean time of one run in nanoseconds.
    ///
    /// # Errors
    ///
    /// When the kernel cannot run it.
    pub fn run_times(&self, frame: &[u8], count: u32) -> Result<(Action, u128)> {
        let input = ProgramInput { data_in: Some(frame), repeat: count, ..Default::default() };
        let output = self.program()?.test_run(input).context("BPF_PROG_TEST_RUN")?;
        let action = match output.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            4 => Action::Redirect,
            other => anyhow::bail!("the program returned {other}, which is no action of its own"),
        };
        Ok((action, output.duration.as_nanos()))
    }

    /// The counters, summed over CPUs.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn counters(&self) -> Result<[u64; Stat::COUNT]> {
        let map = self.map(abi::STATS)?;
        let mut counters = [0; Stat::COUNT];
        for stat in Stat::ALL {
            let per_cpu = map
                .lookup_percpu(&stat.index().to_ne_bytes(), MapFlags::ANY)?
                .with_context(|| format!("{} has no counter {}", abi::STATS, stat.index()))?;
            for value in per_cpu {
                let value: [u8; 8] = value[..].try_into().context("a counter is not eight bytes")?;
                counters[stat as usize] += u64::from_ne_bytes(value);
            }
        }
        Ok(counters)
    }

    fn program(&self) -> Result<ProgramMut<'_>> {
        self.object
            .progs_mut()
            .find(|program| program.name() == abi::PROGRAM)
            .with_context(|| format!("the object has no program {}", abi::PROGRAM))
    }

    fn map(&self, name: &str) -> Result<Map<'_>> {
        self.object
            .maps()
            .find(|map| map.name() == name)
            .with_context(|| format!("the object has no map {name}"))
    }

    /// Enters one thing into its map, its cell (array, place, bytes), or both.
    fn enter(
        &mut self,
        standing: Standing,
        map: &str,
        key: &[u8],
        value: &[u8],
        (array, place, cell): (&'static str, u32, &[u8]),
    ) -> Result<()> {
        if standing != Standing::Cell {
            self.put(map, key, value)?;
        }
        if standing != Standing::Map {
            ensure!(!self.cells.contains(&(array, place)), "two of the tables have one place in {array}");
            self.cells.push((array, place));
            self.put(array, &place.to_ne_bytes(), cell)?;
        }
        Ok(())
    }

    fn put(&self, map: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.map(map)?.update(key, value, MapFlags::ANY).with_context(|| format!("writing to {map}"))
    }
}
