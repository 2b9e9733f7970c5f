//! The page for those who come from Python: every name of its libraries, and only names of ours that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{read, sources};

/// What Python 3.14, joblib 1.6, loky 3.7, mpire 2.10, Pebble 5.2 and tpcp offer for processes: by the beginning of
/// the headings under which the page has them.
const NAMES: [(&str, &str); 7] = [
    (
        "multiprocessing",
        "Array AuthenticationError Barrier BoundedSemaphore BufferTooShort Condition Event JoinableQueue Lock Manager \
         Pipe Pool Process ProcessError Queue RLock RawArray RawValue Semaphore SimpleQueue TimeoutError Value \
         active_children allow_connection_pickling cpu_count current_process freeze_support get_all_start_methods \
         get_context get_logger get_start_method log_to_stderr parent_process reducer set_executable \
         set_forkserver_preload set_start_method authkey close daemon exitcode ident interrupt is_alive join kill \
         name pid run sentinel start terminate apply apply_async imap imap_unordered map map_async starmap \
         starmap_async initializer initargs maxtasksperchild chunksize callback error_callback get ready successful \
         wait next ThreadPool dummy cancel_join_thread join_thread empty full qsize get_nowait put put_nowait \
         task_done send recv send_bytes recv_bytes recv_bytes_into poll fileno readable writable closed Listener \
         Client answer_challenge deliver_challenge acquire release locked get_value is_set set clear notify \
         notify_all wait_for abort broken n_waiting parties reset BrokenBarrierError get_lock copy synchronized \
         SharedMemory buf size unlink track ShareableList SharedMemoryManager BaseManager SyncManager BaseProxy \
         Namespace register connect get_server resource_tracker ForkingPickler DupFd Empty Full EOFError \
         BrokenPipeError MaybeEncodingError register_at_fork register_after_fork accept address last_accepted \
         AutoProxy Token BaseProcess Finalize send_handle recv_handle sendfds recvfds kwargs processes get_obj",
    ),
    (
        "concurrent.futures",
        "ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION BrokenExecutor BrokenProcessPool BrokenThreadPool \
         BrokenInterpreterPool CancelledError Executor \
         Future InvalidStateError InterpreterPoolExecutor ProcessPoolExecutor ThreadPoolExecutor TimeoutError \
         as_completed wait max_workers mp_context initializer initargs max_tasks_per_child submit map buffersize \
         chunksize timeout shutdown cancel_futures kill_workers terminate_workers result exception done running \
         cancel cancelled add_done_callback set_result set_exception set_running_or_notify_cancel wrap_future \
         run_in_executor",
    ),
    (
        "joblib",
        "Parallel delayed n_jobs backend return_as verbose timeout pre_dispatch batch_size temp_folder max_nbytes \
         mmap_mode prefer require cpu_count effective_n_jobs inner_max_num_threads parallel_config parallel_backend \
         register_parallel_backend ParallelBackendBase wrap_non_picklable_objects Memory MemorizedResult \
         expires_after register_store_backend StoreBackendBase dump load hash register_compressor Logger PrintTime",
    ),
    (
        "loky",
        "get_reusable_executor max_workers reuse kill_workers ProcessPoolExecutor timeout env job_reducers \
         result_reducers set_loky_pickler TerminatedWorkerError ShutdownExecutorError LOKY_MAX_DEPTH \
         LOKY_MAX_CPU_COUNT cpu_count only_physical_cores wrap_non_picklable_objects freeze_support",
    ),
    (
        "mpire",
        "WorkerPool n_jobs daemon cpu_ids shared_objects pass_worker_id use_worker_state start_method keep_alive \
         use_dill enable_insights order_tasks pass_on_worker_id set_shared_objects set_use_worker_state \
         set_keep_alive set_order_tasks get_exit_results map map_unordered imap imap_unordered apply apply_async \
         iterable_len max_tasks_active chunk_size n_splits worker_lifespan progress_bar concatenate_numpy_output \
         worker_init worker_exit task_timeout worker_init_timeout worker_exit_timeout progress_bar_options \
         progress_bar_style stop_and_join terminate print_insights get_insights set_cpu_affinity chunk_tasks \
         apply_numpy_chunking make_single_arguments start_dashboard connect_to_dashboard shutdown_dashboard \
         get_stacklevel set_stacklevel",
    ),
    (
        "Pebble",
        "ProcessPool ThreadPool max_workers max_tasks initializer initargs context schedule submit map timeout chunksize active close \
         stop join ProcessFuture MapFuture ProcessMapFuture ProcessExpired exitcode pid concurrent asynchronous \
         waitforthreads waitforqueues synchronized sighandler",
    ),
    (
        "tpcp.parallel",
        "Parallel delayed register_global_parallel_callback remove_global_parallel_callback \
         register_parallel_side_channel remove_parallel_side_channel",
    ),
];

/// What stands in the column of ours and is Rust's, another crate's, or Python's again.
const NOT_OURS: &str = "AsFd Drop Future OFFSPRING_CONTEXT OFFSPRING_WORKERS Ok Serialize Vec args authkey \
    available_parallelism await chunks concat examples grace initializer n offspring progress rayon rs std thread \
    u8 xs";

/// The rows of all tables: heading, Python's column, ours.
fn rows(page: &str) -> Vec<(&str, &str, &str)> {
    let (mut heading, mut rows) = ("", Vec::new());
    for line in page.split("\n## Patterns\n").next().unwrap_or_default().lines() {
        if let Some(next) = line.strip_prefix("### ") {
            heading = next;
        } else if let Some(row) = line.strip_prefix("| ") {
            let (python, ours) = row.split_once(" | ").expect("two columns");
            if python != "Python" {
                rows.push((heading, python, ours.trim_end_matches(" |")));
            }
        }
    }
    rows
}

/// The words of names within backticks; texts in quotes are none.
fn words(cell: &str) -> BTreeSet<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let names = quoted.flat_map(|code| code.split('"').step_by(2));
    let words = names.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_')).collect()
}

#[test]
fn every_name_of_python_has_its_row() {
    let page = read("docs/coming-from-python.md");
    let rows = rows(&page);
    for (library, names) in NAMES {
        let under = rows.iter().filter(|(heading, ..)| heading.starts_with(library));
        let there: BTreeSet<&str> = under.flat_map(|(_, python, _)| words(python)).collect();
        let missing: Vec<_> =
            names.split_whitespace().filter(|name| !there.contains(name)).collect();
        assert!(missing.is_empty(), "docs/coming-from-python.md lacks {missing:?} of {library}");
    }
    for (heading, python, ours) in rows {
        assert!(!ours.trim().is_empty(), "{heading}: nothing stands beside {python}");
    }
}

/// Whether a line of the library's source gives this name to something.
fn defines(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("unsafe ").unwrap_or(line).trim_start_matches("const ");
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    match words.next().unwrap_or_default() {
        "fn" | "struct" | "enum" | "mod" | "trait" | "type" => words.next() == Some(name),
        // A variant, on a line of its own.
        first => first == name && matches!(&line[name.len()..], "," | " {"),
    }
}

#[test]
fn what_stands_beside_names_of_python_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "platform/src/unix"].map(|folder| sources(&root.join(folder)));
    let mut texts: Vec<String> = folders
        .iter()
        .flatten()
        .map(|file| fs::read_to_string(file).expect("it can be read"))
        .collect();
    // The promise of fork and of unchanging files come from there.
    texts.push(read("platform/src/lib.rs"));
    let page = read("docs/coming-from-python.md");
    let ours: BTreeSet<&str> = rows(&page).iter().flat_map(|(_, _, ours)| words(ours)).collect();
    assert!(ours.len() > 100, "{ours:?}");
    let unknown: Vec<_> = ours
        .into_iter()
        .filter(|name| !NOT_OURS.split_whitespace().any(|other| other == *name))
        .filter(|name| !texts.iter().any(|text| text.lines().any(|line| defines(line, name))))
        .collect();
    assert!(unknown.is_empty(), "docs/coming-from-python.md: nothing is called {unknown:?}");
}
