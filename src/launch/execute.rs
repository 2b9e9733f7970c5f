//! Running this program again, as a child.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;

use offspring_platform::environment::Change;
use offspring_platform::program;
use offspring_platform::spawn::{self, Standard, Start};
use serde::{Deserialize, Serialize};

use super::handover::{self, NOTE};
use super::message::Bytes;

/// How the program is to be run.
pub(crate) struct Run<'a> {
    pub(crate) nonce: u128,
    pub(crate) environment: &'a [(OsString, OsString)],
    pub(crate) directory: Option<&'a OsStr>,
    pub(crate) standard: [Standard<'a>; 3],
    pub(crate) channel: BorrowedFd<'a>,
    pub(crate) lifeline: BorrowedFd<'a>,
}

/// Runs the program, and returns the number of the process.
pub(crate) fn run(run: &Run<'_>) -> io::Result<i32> {
    let mut environment = Vec::with_capacity(run.environment.len() + 1);
    for (name, value) in run.environment {
        if name == NOTE {
            continue;
        }
        environment.push(pair(name, value)?);
    }
    let note = handover::note(std::process::id(), run.nonce);
    environment.push(pair(OsStr::new(NOTE), OsStr::new(&note))?);
    // The same arguments: code that stands before `init` finds what it found in the parent.
    let arguments =
        std::env::args_os().map(|text| c_string(&text)).collect::<io::Result<Vec<_>>>()?;
    let directory = run.directory.map(c_string).transpose()?;
    spawn::spawn(&Start {
        program: program::path()?,
        arguments: &arguments,
        environment: &environment,
        directory: directory.as_deref(),
        standard: run.standard,
        handed: &[run.channel, run.lifeline],
    })
}

/// Runs the program as the process of a test, which finds channel and lifeline where a child does.
#[cfg(feature = "test")]
pub(crate) fn run_test(
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
    standard: [Standard<'_>; 3],
    handed: [BorrowedFd<'_>; 2],
) -> io::Result<i32> {
    let name = std::env::args_os().next();
    let arguments = name.iter().chain(arguments).map(|text| c_string(text));
    let environment = environment.iter().filter(|(name, _)| name != NOTE);
    spawn::spawn(&Start {
        program: program::path()?,
        arguments: &arguments.collect::<io::Result<Vec<_>>>()?,
        environment: &environment
            .map(|(name, value)| pair(name, value))
            .collect::<io::Result<Vec<_>>>()?,
        directory: None,
        standard,
        handed: &handed,
    })
}

/// What a supervisor must know to run the program as a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Execute {
    /// The number that goes into the note.
    pub(crate) nonce: u128,
    /// `None`: that of the supervisor.
    pub(crate) environment: Option<Vec<(Bytes, Bytes)>>,
}

/// In a supervisor: runs the program as a worker.
pub(crate) fn again(
    execute: &Execute,
    channel: BorrowedFd<'_>,
    lifeline: BorrowedFd<'_>,
) -> io::Result<i32> {
    let environment: Vec<(OsString, OsString)> = match &execute.environment {
        None => std::env::vars_os().collect(),
        Some(list) => list
            .iter()
            .map(|(name, value)| (name.clone().into_text(), value.clone().into_text()))
            .collect(),
    };
    run(&Run {
        nonce: execute.nonce,
        environment: &environment,
        directory: None,
        standard: [Standard::Inherit; 3],
        channel,
        lifeline,
    })
}

fn pair(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_os_string();
    text.push("=");
    text.push(value);
    c_string(&text)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_encoded_bytes()).map_err(io::Error::other)
}

/// The environment after these changes.
pub(crate) fn changed_environment(changes: &[Change]) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for change in changes {
        match change {
            Change::Clear => variables.clear(),
            Change::Set(name, value) => {
                variables.retain(|(other, _)| other != name);
                variables.push((name.clone(), value.clone()));
            }
            Change::Remove(name) => variables.retain(|(other, _)| other != name),
        }
    }
    variables
}
