//! How much memory this process and all below it take together, as Linux tells it.
//!
//! The *proportional* memory of a process counts a page that n processes map as 1/n page. Summed over all
//! of them, shared pages count once: the sum is what the processes take from the machine.

use std::collections::{HashMap, HashSet};
use std::fs;

/// What the processes take, in bytes.
pub(crate) struct Memory {
    /// Proportional memory of all processes.
    pub(crate) total: u64,
    /// The part of it that belongs to the table.
    pub(crate) table: u64,
    /// How many processes have pages of the table.
    pub(crate) sharers: usize,
}

/// Measures this process and its descendants. The table is what this process has at `addresses`.
///
/// `None` where there is no /proc.
pub(crate) fn of_all_processes(addresses: &[usize]) -> Option<Memory> {
    let table: HashSet<_> = addresses.iter().filter_map(|&address| object_at(address)).collect();
    let mut memory = Memory { total: 0, table: 0, sharers: 0 };
    for process in with_descendants(std::process::id())? {
        // One that has ended meanwhile takes nothing.
        let Ok(rollup) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
            continue;
        };
        let Ok(maps) = fs::read_to_string(format!("/proc/{process}/smaps")) else { continue };
        memory.total += rollup.lines().filter_map(proportional).sum::<u64>();
        let part = mapped(&maps, &table);
        memory.table += part;
        memory.sharers += usize::from(part > 0);
    }
    Some(memory)
}

/// The identity of a mapped file or piece of shared memory: device and inode.
type Object = (String, String);

/// Of the first line of a mapping: the range of its addresses, and what is mapped.
///
/// `7f5c6a000000-7f5c6a400000 r--s 00000000 00:01 2051   /memfd:offspring (deleted)`
fn mapping(line: &str) -> Option<(std::ops::Range<usize>, Object)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let mut fields = fields.skip(2);
    Some((range, (fields.next()?.into(), fields.next()?.into())))
}

/// What this process has mapped at an address.
fn object_at(address: usize) -> Option<Object> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(mapping)
        .find(|(range, _)| range.contains(&address))
        .map(|(_, object)| object)
}

/// The proportional memory of those mappings that map one of `objects`.
fn mapped(maps: &str, objects: &HashSet<Object>) -> u64 {
    let mut within = false;
    let mut sum = 0;
    for line in maps.lines() {
        if let Some((_, object)) = mapping(line) {
            within = objects.contains(&object);
        } else if within {
            sum += proportional(line).unwrap_or(0);
        }
    }
    sum
}

/// The bytes of a line like `Pss:   1234 kB`.
fn proportional(line: &str) -> Option<u64> {
    let number = line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?;
    Some(number.trim().parse::<u64>().ok()? << 10)
}

/// This process and all below it. The workers of a pool are two below: between is their supervisor.
fn with_descendants(process: u32) -> Option<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((id, parent)) = id.and_then(|id| Some((id, parent(id)?))) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = vec![process];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        found.extend(children.remove(process).unwrap_or_default());
        next += 1;
    }
    Some(found)
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may contain anything, so count from its end.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}
