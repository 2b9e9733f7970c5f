//! ipc-channel: channels between processes. It starts none and has no pool, so this program runs itself again
//! with the name of a one-shot server, as the crate's documentation does.

use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender,
    IpcSharedMemory,
};
use peers::work::{self, look_up};
use peers::{FirstAnswer, Outcome, Peer, WORKERS, Workers};
use serde::{Deserialize, Serialize};

/// So many tasks are under way to each process.
const WINDOW: usize = 32;
const SERVE: &str = "--serve";

#[derive(Serialize, Deserialize)]
enum Task {
    Number(u64),
    Numbers(Vec<u64>),
    /// The bytes come over the other channel, the fastest way that there is.
    Bytes,
    Table(IpcSharedMemory),
    /// The number of on bits of each, with the table.
    Bits(Vec<u16>),
    Last,
    End,
}

/// What a process answers: the answers of a task, one for each number.
type Answer = Vec<u64>;
/// What a process sends first: where it takes tasks and bytes, and where its answers come from.
type Hello = (IpcSender<Task>, IpcBytesSender, IpcReceiver<Answer>);

struct IpcChannel;

struct Process {
    child: Child,
    tasks: IpcSender<Task>,
    bytes: IpcBytesSender,
    answers: IpcReceiver<Answer>,
}

struct Processes(Vec<Process>);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(SERVE) {
        return peers::run(&mut IpcChannel);
    }
    match serve(arguments.next().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The other process.
fn serve(server: String) -> Outcome<()> {
    let hello = IpcSender::<Hello>::connect(server)?;
    let (task_sender, tasks) = ipc::channel()?;
    let (bytes_sender, bytes): (_, IpcBytesReceiver) = ipc::bytes_channel()?;
    let (answers, answer_receiver) = ipc::channel::<Answer>()?;
    hello.send((task_sender, bytes_sender, answer_receiver))?;
    let mut table = IpcSharedMemory::from_bytes(&[]);
    loop {
        answers.send(match tasks.recv()? {
            Task::Number(number) => vec![work::work(number)],
            Task::Numbers(numbers) => work::work_chunk(numbers),
            Task::Bytes => vec![work::ends(&bytes.recv()?)],
            Task::Table(shared) => {
                table = shared;
                continue;
            }
            Task::Bits(numbers) => look_up(&table, &numbers).into_iter().map(u64::from).collect(),
            Task::Last => vec![u64::from(table[table.len() - 1])],
            Task::End => return Ok(()),
        })?;
    }
}

impl Process {
    fn start() -> Outcome<Self> {
        let (server, name) = IpcOneShotServer::<Hello>::new()?;
        let child = Command::new(std::env::current_exe()?).args([SERVE, &name]).spawn()?;
        let (_, (tasks, bytes, answers)) = server.accept()?;
        Ok(Self { child, tasks, bytes, answers })
    }

    fn ask(&self, task: Task) -> Outcome<u64> {
        self.tasks.send(task)?;
        Ok(work::sum(self.answers.recv()?))
    }

    fn stop(mut self) -> Outcome<()> {
        self.tasks.send(Task::End)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Processes {
    fn start() -> Outcome<Self> {
        Ok(Self((0..WORKERS).map(|_| Process::start()).collect::<Outcome<_>>()?))
    }

    /// All tasks, in turns, some of them under way.
    fn stream(&self, tasks: impl IntoIterator<Item = Task>) -> Outcome<u64> {
        let (mut sent, mut answered, mut total) = (0, 0, 0u64);
        let mut tasks = tasks.into_iter().fuse();
        loop {
            let task = tasks.next();
            if task.is_none() && answered == sent {
                return Ok(total);
            }
            if task.is_none() || sent - answered == WINDOW * self.0.len() {
                let answer = self.0[answered % self.0.len()].answers.recv()?;
                total = total.wrapping_add(work::sum(answer));
                answered += 1;
            }
            if let Some(task) = task {
                self.0[sent % self.0.len()].tasks.send(task)?;
                sent += 1;
            }
        }
    }

    fn stop(self) -> Outcome<()> {
        self.0.into_iter().try_for_each(Process::stop)
    }
}

impl Peer for IpcChannel {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        let process = Process::start()?;
        let answer = process.ask(Task::Number(number))?;
        process.stop()?;
        Ok(answer)
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        Ok(Box::new(Processes::start()?))
    }

    fn bits(&mut self, chunk: usize) -> Outcome<u64> {
        let table = IpcSharedMemory::from_bytes(&work::bit_table());
        let processes = Processes::start()?;
        for process in &processes.0 {
            process.tasks.send(Task::Table(table.clone()))?;
        }
        let total = processes.stream(work::bit_tasks(chunk).into_iter().map(Task::Bits))?;
        processes.stop()?;
        Ok(total)
    }

    fn table(&mut self, table: Vec<u8>) -> Outcome<FirstAnswer> {
        let table = IpcSharedMemory::from_bytes(&table);
        Ok(Box::new(move || {
            let begin = Instant::now();
            let process = Process::start()?;
            process.tasks.send(Task::Table(table.clone()))?;
            let answer = process.ask(Task::Last)?;
            let took = begin.elapsed().as_secs_f64();
            process.stop()?;
            Ok((took, u8::try_from(answer)?))
        }))
    }
}

impl Workers for Processes {
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        self.stream((0..count).map(Task::Number))
    }

    fn chunks(&mut self, chunks: u64) -> Outcome<u64> {
        self.stream((0..chunks).map(|index| Task::Numbers(work::chunk(index))))
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        self.0[0].ask(Task::Number(number))
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        self.0[0].tasks.send(Task::Bytes)?;
        self.0[0].bytes.send(&bytes)?;
        Ok(work::sum(self.0[0].answers.recv()?))
    }

    fn stop(self: Box<Self>) -> Outcome<()> {
        Processes::stop(*self)
    }
}
