//! Files, sockets and listeners as arguments and results.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use offspring::channel::{Selector, pipe, queue};
use offspring::{Context, ErrorKind, Sendable};

use crate::harness::leaks::descriptors_at_rest;
use crate::harness::props::{Scratch, wait_for};
use crate::harness::scarcity::limited;
use crate::harness::{Case, Outcome, sleep_for_ever};

pub(crate) const CASES: &[Case] = crate::cases![
    the_position_of_a_file_is_shared,
    the_sender_keeps_its_own,
    every_kind_of_socket,
    both_ends_at_once,
    as_many_as_one_value_can_hold,
    results_bring_them_back,
    files_in_the_state_of_workers,
    outside_of_what_is_sent,
    no_descriptor_for_what_arrives,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on crate::harness::PROCESSES =>
    others_do_not_hold_what_waits,
    others_do_not_hold_what_waits_in_a_pipe,
];

fn file(scratch: &Scratch) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(scratch.path())
}

fn the_position_of_a_file_is_shared(context: Context) -> Outcome {
    let scratch = Scratch::new("text");
    let mut file = file(&scratch)?;
    file.write_all(b"0123456789")?;
    file.seek(std::io::SeekFrom::Start(4))?;
    let child =
        context.process().start(Sendable::new(file.try_clone()?), |mut file: Sendable<File>| {
            let mut three = [0; 3];
            file.read_exact(&mut three).unwrap();
            String::from_utf8(three.to_vec()).unwrap()
        })?;
    assert_eq!(child.join()?, "456");
    assert_eq!(file.stream_position()?, 7, "both have the same open file");
    assert_eq!(std::io::read_to_string(file)?, "789");
    Ok(())
}

fn the_sender_keeps_its_own(context: Context) -> Outcome {
    let (ours, theirs) = UnixStream::pair()?;
    let child = context.process().start(
        Sendable::new(ours.try_clone()?),
        |mut stream: Sendable<UnixStream>| {
            stream.write_all(b"child ").unwrap();
        },
    )?;
    child.join()?;
    // The child's is closed; this one still works.
    (&ours).write_all(b"parent")?;
    drop(ours);
    assert_eq!(std::io::read_to_string(theirs)?, "child parent");
    Ok(())
}

fn every_kind_of_socket(context: Context) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let udp_address = udp.local_addr()?;
    // Connected before anybody accepts: on Inline, nobody else runs meanwhile.
    let mut to_listener = TcpStream::connect(address)?;
    let (connected, mut other) = UnixStream::pair()?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"datagram", udp_address)?;
    type All = (Sendable<TcpListener>, Sendable<UdpSocket>, Sendable<UnixStream>);
    let child = context.process().start(
        (Sendable::new(listener), Sendable::new(udp), Sendable::new(connected)),
        |(listener, udp, mut connected): All| {
            let (mut accepted, _) = listener.accept().unwrap();
            accepted.write_all(b"accepted").unwrap();
            connected.write_all(b"connected").unwrap();
            let mut buffer = [0; 64];
            let count = loop {
                match udp.recv(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    received => break received.unwrap(),
                }
            };
            buffer[..count].to_vec()
        },
    )?;
    assert_eq!(child.join()?, b"datagram");
    let mut text = String::new();
    to_listener.read_to_string(&mut text)?;
    other.read_to_string(&mut text)?;
    assert_eq!(text, "acceptedconnected");
    Ok(())
}

fn both_ends_at_once(context: Context) -> Outcome {
    let (reader, writer) = UnixStream::pair()?;
    (&writer).write_all(b"before ")?;
    let child = context.process().start(
        (Sendable::new(reader), Sendable::new(writer)),
        |(mut reader, writer): (Sendable<UnixStream>, Sendable<UnixStream>)| {
            let mut writer = writer.into_inner();
            writer.write_all(b"after").unwrap();
            drop(writer);
            let mut text = [0; 12];
            reader.read_exact(&mut text).unwrap();
            text.to_vec()
        },
    )?;
    assert_eq!(child.join()?, b"before after");
    Ok(())
}

/// Descriptors of files that say which they are.
fn many(scratch: &Scratch, count: u32) -> std::io::Result<Vec<Sendable<OwnedFd>>> {
    let one = || -> std::io::Result<_> { Ok(Sendable::new(OwnedFd::from(file(scratch)?))) };
    (0..count).map(|_| one()).collect()
}

fn as_many_as_one_value_can_hold(context: Context) -> Outcome {
    let scratch = Scratch::new("many");
    let write = |all: Vec<Sendable<OwnedFd>>| {
        for (number, fd) in all.into_iter().enumerate() {
            let mut file = File::from(fd.into_inner());
            // Each has its own position, 0: a byte of its own number there, and the next begins anew.
            file.seek(std::io::SeekFrom::Start(number as u64)).unwrap();
            file.write_all(&[number as u8]).unwrap();
        }
    };
    let child = context.process().start(many(&scratch, 250)?, write)?;
    child.join()?;
    assert!(std::fs::read(scratch.path())?.into_iter().eq(0..250));
    let error = context.process().start(many(&scratch, 251)?, write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert!(error.to_string().contains("251") && error.to_string().contains("250"), "{error}");

    // The same in the tasks of a pool, and one that is refused harms no other.
    let pool = context.pool().workers(2).build()?;
    let inputs = [many(&scratch, 250)?, many(&scratch, 251)?, many(&scratch, 3)?];
    let results: Vec<_> = pool.map(inputs, |(), all| all.len()).collect();
    assert_eq!(*results[0].as_ref().unwrap(), 250);
    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::EncodeArguments);
    assert_eq!(*results[2].as_ref().unwrap(), 3);
    Ok(())
}

fn results_bring_them_back(context: Context) -> Outcome {
    let scratch = Scratch::new("made");
    let pool = context.pool().workers(2).build()?;
    let made = pool.map((0..8).map(|_| scratch.path()), |(), path| {
        let mut file = File::options().read(true).append(true).create(true).open(path).unwrap();
        file.write_all(b"line\n").unwrap();
        file.rewind().unwrap();
        (Sendable::new(file), std::process::id())
    });
    for result in made {
        let (mut file, _pid) = result?;
        let mut line = [0; 5];
        file.read_exact(&mut line)?;
        assert_eq!(&line, b"line\n");
    }
    assert_eq!(scratch.lines().len(), 8);
    // The worker closed its own: when ours is closed too, the other end reads to the end.
    let ended = pool.submit((), |(), ()| {
        let (reader, writer) = UnixStream::pair().unwrap();
        (&writer).write_all(b"x").unwrap();
        (Sendable::new(reader), Sendable::new(writer))
    })?;
    let (reader, writer) = ended.join()?;
    drop(writer);
    assert_eq!(std::io::read_to_string(reader.into_inner())?, "x");
    Ok(())
}

fn files_in_the_state_of_workers(context: Context) -> Outcome {
    let scratch = Scratch::new("log");
    let log = File::options().append(true).create(true).open(scratch.path())?;
    let pool = context.pool().workers(2).init(Sendable::new(log), |log| log).build()?;
    for result in pool.map(0..20, |log: &mut Sendable<File>, n: u32| {
        log.write_all(format!("{n}\n").as_bytes()).unwrap();
    }) {
        result?;
    }
    pool.shutdown()?;
    let mut lines: Vec<u32> = scratch.lines().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert!(lines.into_iter().eq(0..20));
    Ok(())
}

fn outside_of_what_is_sent(_: Context) -> Outcome {
    // Written to a file it would be a number that means something else elsewhere.
    let (reader, _) = UnixStream::pair()?;
    let mut sink = Vec::new();
    let error = serde::Serialize::serialize(
        &Sendable::new(reader),
        &mut rmp_serde::Serializer::new(&mut sink),
    );
    let text = error.unwrap_err().to_string();
    assert!(text.contains("only in what offspring sends"), "{text}");
    Ok(())
}

/// Whoever receives is told, also if a selector or a sender met it; and what is sent meanwhile arrives once.
fn no_descriptor_for_what_arrives(_: Context) -> Outcome {
    // As a limit, it leaves none.
    let free = || File::open("/dev/null").map(|file| u64::from(file.as_raw_fd().unsigned_abs()));
    let with_a_file = || -> Result<_, Box<dyn std::error::Error>> {
        let (ours, theirs) = pipe::<Vec<u8>, Sendable<File>>()?;
        theirs.send(Sendable::new(File::open("/dev/null")?))?;
        Ok((ours, theirs))
    };
    let (ours, theirs) = with_a_file()?;
    let mut selector = Selector::new();
    selector.pipe(&ours);
    limited(libc::RLIMIT_NOFILE, free()?, || selector.wait())?;
    drop(selector);
    let error = ours.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert_eq!(ours.recv().unwrap_err().kind(), ErrorKind::Closed, "nothing can follow");
    drop(theirs);

    let (ours, theirs) = with_a_file()?;
    let bytes = std::thread::scope(|scope| -> Result<_, Box<dyn std::error::Error>> {
        // More than the system holds, so that who sends looks at what arrives.
        let receiver = scope.spawn(|| theirs.recv());
        limited(libc::RLIMIT_NOFILE, free()?, || ours.send(vec![1; 8 << 20]))?;
        Ok(receiver.join().expect("it receives")?)
    })?;
    assert_eq!(bytes.len(), 8 << 20);
    // Whoever sent did not look at what arrives if it never had to wait.
    if let Err(error) = ours.recv() {
        assert_eq!(error.kind(), ErrorKind::System, "{error}");
    }
    drop(ours);
    let error = theirs.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "nothing came twice");
    Ok(())
}

pub(crate) const ONCE: &[Case] =
    crate::cases![on &[Context::Inline] => the_text_says_what_there_was_no_room_for];

fn the_text_says_what_there_was_no_room_for(_: Context) -> Outcome {
    let (sender, receiver) = queue::<Sendable<UnixStream>>(1 << 20)?;
    let (ours, _theirs) = UnixStream::pair()?;
    let mut refused = None;
    for _ in 0..1 << 20 {
        if let Err(error) = sender.try_send(Sendable::new(ours.try_clone()?)) {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.ok_or("as many descriptors as that are on their way nowhere")?;
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    let text = refused.to_string();
    assert!(text.contains("not for its descriptors (1)"), "{text}");
    // Of bytes, where there is none for them.
    let (full, _receiver) = queue::<u8>(1)?;
    full.send(1)?;
    let text = full.try_send(2).unwrap_err().to_string();
    assert!(text.contains("no room for its bytes (1)") && !text.contains("descriptors"), "{text}");
    drop(receiver.recv()?);
    Ok(())
}

/// How many tasks: more than a worker is sent ahead.
const MANY: usize = 100;
/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of a connection of which nobody but a message has the other end, while somebody lives who was
/// started when the message waited.
fn see_its_end(mut stream: &UnixStream) -> Outcome {
    // What this process keeps of what it sent is let go when it waits by the library (docs/platforms.md).
    descriptors_at_rest();
    stream.set_read_timeout(Some(PATIENCE))?;
    // Not `read`, which may be interrupted.
    assert_eq!(stream.read_to_end(&mut Vec::new())?, 0);
    Ok(())
}

fn others_do_not_hold_what_waits(context: Context) -> Outcome {
    let go = Scratch::new("go");
    // Before there is what its processes would inherit from the program itself.
    let pool = context.pool().workers(1).build()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut tasks = Vec::new();
    for _ in 0..MANY {
        let argument = (go.path(), Sendable::new(theirs.try_clone()?));
        tasks.push(pool.submit(argument, |(), (go, stream)| {
            wait_for(&go);
            drop::<Sendable<UnixStream>>(stream);
        })?);
    }
    drop(theirs);
    let other = context.process().start((), |()| -> () { sleep_for_ever() })?;
    go.open();
    for task in tasks {
        task.join()?;
    }
    see_its_end(&ours)?;
    drop(other);
    pool.shutdown()?;
    Ok(())
}

/// The end of a pipe that has not received all that arrived, and waits itself in a message.
fn others_do_not_hold_what_waits_in_a_pipe(context: Context) -> Outcome {
    let go = Scratch::new("go");
    // Before there is what its processes would inherit from the program itself.
    let pool = context.pool().workers(1).build()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut tasks = Vec::new();
    for _ in 0..MANY {
        tasks.push(pool.submit(go.path(), |(), go| wait_for(&go))?);
    }
    let (sender, receiver) = pipe::<Sendable<UnixStream>, ()>()?;
    for _ in 0..2 {
        sender.send(Sendable::new(theirs.try_clone()?))?;
    }
    drop(theirs);
    // With the first comes the second.
    drop(receiver.recv()?);
    let last = pool.submit(receiver, |(), receiver| drop(receiver.recv().unwrap()))?;
    let other = context.process().start((), |()| -> () { sleep_for_ever() })?;
    go.open();
    for task in tasks {
        task.join()?;
    }
    last.join()?;
    see_its_end(&ours)?;
    drop((other, sender));
    pool.shutdown()?;
    Ok(())
}
