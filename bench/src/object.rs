//! The compiled BPF programs of `bpf/`, and what every command does with them.

use anyhow::{Context, anyhow, ensure};
use libbpf_rs::{Map, MapCore, MapFlags, MapMut, Object, ObjectBuilder, OpenMapMut, OpenObject, ProgramMut};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes at an address that an ELF reader may read its headers from.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

/// One object file, with the name of the program in it.
#[derive(Clone, Copy)]
pub(crate) struct ObjectFile {
    name: &'static str,
    elf: &'static Aligned<[u8]>,
}

/// The load generator.
pub(crate) const GENERATE: ObjectFile = ObjectFile {
    name: "generate",
    elf: &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/generate.bpf.o"))),
};

/// The redirection to AF_XDP sockets.
pub(crate) const REDIRECT: ObjectFile = ObjectFile {
    name: "redirect",
    elf: &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/redirect.bpf.o"))),
};

/// The counting sink.
pub(crate) const SINK: ObjectFile =
    ObjectFile { name: "sink", elf: &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sink.bpf.o"))) };

/// The redirection to AF_XDP sockets that sends live frames as well.
pub(crate) const LIVE_FRAMES: ObjectFile = ObjectFile {
    name: "live_frames",
    elf: &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/live_frames.bpf.o"))),
};

/// Reads an object; nothing is in the kernel yet.
pub(crate) fn open(file: ObjectFile) -> anyhow::Result<OpenObject> {
    ObjectBuilder::default()
        .name(file.name)?
        .open_memory(&file.elf.0)
        .with_context(|| format!("cannot read the BPF object {}", file.name))
}

/// Loads an opened object's maps and program.
pub(crate) fn load(object: OpenObject, file: ObjectFile) -> anyhow::Result<Object> {
    object.load().with_context(|| {
        format!("the kernel refuses the BPF program {} (CAP_BPF and CAP_NET_ADMIN are needed)", file.name)
    })
}

/// Sets the constants that the program calls `settings`.
pub(crate) fn set_settings(object: &mut OpenObject, settings: &[u8]) -> anyhow::Result<()> {
    let mut map = open_map(object, ".rodata")?;
    let value = map.initial_value_mut().ok_or_else(|| anyhow!("the constants have no initial value"))?;
    let len = value.len();
    let target = value
        .get_mut(..settings.len())
        .ok_or_else(|| anyhow!("the constants are {len} bytes long, {} were to be set", settings.len()))?;
    target.copy_from_slice(settings);
    Ok(())
}

/// Sets how many entries a map is made with.
pub(crate) fn set_entries(object: &mut OpenObject, map: &str, entries: u32) -> anyhow::Result<()> {
    open_map(object, map)?.set_max_entries(entries).with_context(|| format!("cannot size map {map}"))
}

/// A map of an opened object by the end of its name: libbpf prefixes the constants' map.
fn open_map<'object>(object: &'object mut OpenObject, name: &str) -> anyhow::Result<OpenMapMut<'object>> {
    object
        .maps_mut()
        .find(|map| map.name().to_string_lossy().ends_with(name))
        .ok_or_else(|| anyhow!("the BPF object has no map {name}"))
}

/// A map of a loaded object by name.
pub(crate) fn map<'object>(object: &'object Object, name: &str) -> anyhow::Result<Map<'object>> {
    object.maps().find(|map| map.name() == name).ok_or_else(|| anyhow!("the BPF object has no map {name}"))
}

/// A map of a loaded object by name, to be written.
pub(crate) fn map_mut<'object>(object: &'object mut Object, name: &str) -> anyhow::Result<MapMut<'object>> {
    object
        .maps_mut()
        .find(|map| map.name() == name)
        .ok_or_else(|| anyhow!("the BPF object has no map {name}"))
}

/// The object's one program, to be run or attached.
pub(crate) fn program_mut(object: &mut Object) -> anyhow::Result<ProgramMut<'_>> {
    object.progs_mut().next().ok_or_else(|| anyhow!("the BPF object has no program"))
}

/// Writes one entry of an array or device map.
pub(crate) fn write_entry<Value: IntoBytes + Immutable>(
    map: &MapMut<'_>,
    key: u32,
    value: &Value,
) -> anyhow::Result<()> {
    map.update(&key.to_ne_bytes(), value.as_bytes(), MapFlags::ANY)
        .with_context(|| format!("cannot write entry {key} of map {:?}", map.name()))
}

/// Reads one entry of an array map.
pub(crate) fn read_entry<Value: FromBytes>(map: &impl MapCore, key: u32) -> anyhow::Result<Value> {
    let bytes = map
        .lookup(&key.to_ne_bytes(), MapFlags::ANY)
        .with_context(|| format!("cannot read entry {key} of map {:?}", map.name()))?
        .ok_or_else(|| anyhow!("map {:?} has no entry {key}", map.name()))?;
    parse_value(&bytes)
}

/// Reads one entry of a per-CPU array map: a value for each CPU.
pub(crate) fn read_per_cpu<Value: FromBytes>(map: &Map<'_>, key: u32) -> anyhow::Result<Vec<Value>> {
    let values = map
        .lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY)
        .with_context(|| format!("cannot read entry {key} of map {:?}", map.name()))?
        .ok_or_else(|| anyhow!("map {:?} has no entry {key}", map.name()))?;
    values.iter().map(|bytes| parse_value(bytes)).collect()
}

/// A map's bytes as the structure that the C source declares.
fn parse_value<Value: FromBytes>(bytes: &[u8]) -> anyhow::Result<Value> {
    ensure!(
        bytes.len() == size_of::<Value>(),
        "a map value has {} bytes, {} expected",
        bytes.len(),
        size_of::<Value>()
    );
    Value::read_from_bytes(bytes).map_err(|_| anyhow!("a map value has the wrong size"))
}
