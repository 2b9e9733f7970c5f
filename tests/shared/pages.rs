//! The same pages in every process, and nobody writes to them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use offspring::{Context, SharedSlice};

use crate::Scratch;
use crate::harness::leaks::{SHARED_MEMORY, descendants_of};
use crate::harness::{self, Outcome};

/// Device and inode of what is mapped at an address of this process.
fn object_at(address: usize) -> (String, u64) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (from, to) = fields[0].split_once('-').unwrap();
        let bounds = [from, to].map(|text| usize::from_str_radix(text, 16).unwrap());
        if (bounds[0]..bounds[1]).contains(&address) {
            assert!(fields[5].starts_with(SHARED_MEMORY), "{line}");
            // Readable, shared, and nothing else.
            assert_eq!(fields[1], "r--s", "{line}");
            return (fields[3].to_owned(), fields[4].parse().unwrap());
        }
    }
    panic!("nothing is mapped at {address:#x}")
}

fn object_of(table: &SharedSlice<u64>) -> (String, u64) {
    object_at(table.as_ptr() as usize)
}

#[offspring::test]
fn the_same_object_everywhere(context: Context) -> Outcome {
    let table = SharedSlice::from_iter(0..100_000u64)?;
    let own = object_of(&table);
    let child = context.process().start(table.clone(), |table| (object_of(&table), table))?;
    let (theirs, back) = child.join()?;
    assert_eq!(theirs, own, "in a child");
    assert_eq!(object_of(&back), own, "back from the child");
    let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
    let results = pool.map(vec![table; 20], |state, table| (object_of(state), object_of(&table)));
    for result in results {
        assert_eq!(result?, (own.clone(), own.clone()), "as state, as argument");
    }
    Ok(())
}

/// Tries to change a table in every way; returns what was not refused.
fn attack(table: SharedSlice<u64>) -> Vec<String> {
    let (_, inode) = object_of(&table);
    let list = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files: Vec<_> = list
        .map(|entry| entry.path())
        .filter(|path| std::fs::metadata(path).is_ok_and(|found| found.ino() == inode))
        .collect();
    assert!(!files.is_empty(), "no descriptor of the table is open");
    let mut done = Vec::new();
    let mut refused = |what: &str, result: io::Result<()>| {
        if result.is_ok() {
            done.push(what.to_owned());
        }
    };
    let call = |result: i32| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let length = size_of_val(&*table);
    for path in files {
        // Objects that are only read-only for who has them can be opened once more by the links in `/proc`,
        // which systems that make such objects do not have.
        let again = !cfg!(offspring_force_portable);
        let open = again.then(|| OpenOptions::new().read(true).write(true).open(&path).ok());
        let number: i32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        // SAFETY: opened by the table, which lives until the end of this function.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        let itself = File::from(borrowed.try_clone_to_owned().unwrap());
        for (how, file) in [("its own descriptor", Some(itself)), ("opened again", open.flatten())]
        {
            let Some(mut file) = file else { continue };
            let raw = file.as_raw_fd();
            refused(&format!("write, {how}"), file.write_all(&[1]));
            refused(&format!("pwrite, {how}"), file.write_all_at(&[1], 8));
            refused(&format!("truncate, {how}"), file.set_len(8));
            refused(&format!("grow, {how}"), file.set_len(length as u64 + 4096));
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: no memory is involved.
            refused(&format!("punch, {how}"), call(unsafe { libc::fallocate(raw, hole, 0, 4096) }));
            // SAFETY: no memory is involved.
            let sealed = unsafe { libc::fcntl(raw, libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE) };
            refused(&format!("another seal, {how}"), call(sealed));
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping, of which nothing is used.
            let map = unsafe {
                libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, raw, 0)
            };
            let mapped = if map == libc::MAP_FAILED { -1 } else { 0 };
            refused(&format!("map for writing, {how}"), call(mapped));
        }
    }
    let start = table.as_ptr().cast_mut().cast();
    // SAFETY: it must fail; if it does not, the mapping is as readable as before.
    let result = unsafe { libc::mprotect(start, length, libc::PROT_READ | libc::PROT_WRITE) };
    refused("make the mapping writable", call(result));
    assert!(table.iter().copied().eq(0..table.len() as u64), "the elements changed");
    done
}

#[offspring::test]
fn nobody_can_write(context: Context) -> Outcome {
    let table = SharedSlice::from_iter(0..10_000u64)?;
    let child = context.process().start(table.clone(), attack)?;
    assert_eq!(child.join()?, Vec::<String>::new(), "this was possible in a child");
    assert_eq!(attack(table), Vec::<String>::new(), "this was possible in the maker");
    Ok(())
}

/// How much memory of tables a process has, in KiB, where shared pages count in parts.
fn proportional(pid: u32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps")) else { return 0 };
    let (mut ours, mut sum) = (false, 0);
    for line in text.lines() {
        let first = line.split_ascii_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            ours = line.contains(SHARED_MEMORY);
        } else if ours && first == "Pss:" {
            let number = line.split_ascii_whitespace().nth(1).unwrap();
            sum += number.parse::<u64>().unwrap();
        }
    }
    sum
}

/// All memory of a process, in KiB, where shared pages count in parts.
fn all_memory(pid: u32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps")) else { return 0 };
    let sizes = text.lines().filter_map(|line| line.strip_prefix("Pss:"));
    let numbers = sizes.map(|size| size.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
    numbers.sum()
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn pages_are_counted_once(context: Context) -> Outcome {
    const KIB: u64 = 64 << 10;
    if !std::path::Path::new("/proc/self/smaps").exists() {
        harness::not_tested("this system does not say how much memory is shared");
        return Ok(());
    }
    let log = Scratch::new("log");
    let table = SharedSlice::from_iter(0..KIB * 128)?;
    // What is not read yet is not counted for this process.
    let expected = (KIB * 128) * (KIB * 128 - 1) / 2;
    assert_eq!(table.iter().sum::<u64>(), expected);
    let before = all_memory(std::process::id());
    assert!(before >= KIB, "{before} KiB, with the table of {KIB} KiB");
    let pool = context.pool().workers(4).init(table, |table| table).build()?;
    // Each waits for the others, so that all four have read all of it.
    let results = pool.map(vec![log.0.clone(); 4], |table, log| {
        let sum: u64 = table.iter().sum();
        let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        file.write_all(b".").unwrap();
        harness::eventually("all have read", || std::fs::metadata(&log).unwrap().len() == 4);
        (std::process::id(), sum)
    });
    let results = results.collect::<Result<Vec<_>, _>>()?;
    assert!(results.iter().all(|(_, sum)| *sum == expected), "{results:?}");
    let own = std::process::id();
    let all = descendants_of(own);
    for (pid, _) in &results {
        assert!(all.contains(pid), "{pid} is none of {all:?}");
        let share = proportional(*pid);
        assert!(share >= KIB / 8, "worker {pid} has its part of the table: {share} KiB");
    }
    let sum: u64 = proportional(own) + all.iter().map(|pid| proportional(*pid)).sum::<u64>();
    let wanted = KIB * 95 / 100..=KIB * 105 / 100;
    assert!(wanted.contains(&sum), "{sum} KiB in all processes, expected {KIB} KiB within 5 %");
    // Nor is there a copy of it elsewhere in them.
    let after = all_memory(own) + all.iter().map(|pid| all_memory(*pid)).sum::<u64>();
    let (more, copies) = (after.saturating_sub(before), 4 * KIB);

    assert!(more < copies / 10, "{more} KiB more than before, where copies take {copies} KiB");
    Ok(())
}
