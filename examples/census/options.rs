//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;

use offspring::Context;

pub(crate) const HELP: &str = "\
Counts the words below some folders, and those that no dictionary knows, on each context in turn.

usage: census [options] [paths]        default: the project's own tree

  --contexts a,b    which of inline, fork, spawn, forkserver, and in which order (default: all)
  --workers n       workers of each pool (default: one for each processor)
  --table-mb n      fill the dictionary up to n MiB with words that occur nowhere, to see that its
                    memory counts once and not once for each worker (at most 2048)
  --help            this text
";

pub(crate) struct Options {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) workers: Option<usize>,
    pub(crate) contexts: Vec<Context>,
    pub(crate) table_mib: u32,
}

/// Reads the arguments. `None` when they ask for help.
pub(crate) fn read(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<Option<Options>, String> {
    let mut options = Options {
        paths: Vec::new(),
        workers: None,
        contexts: Context::available().to_vec(),
        table_mib: 0,
    };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--workers") => options.workers = Some(value(&mut arguments, "--workers")?),
            Some("--table-mb") => options.table_mib = value(&mut arguments, "--table-mb")?,
            Some("--contexts") => {
                let names: String = value(&mut arguments, "--contexts")?;
                let contexts = names.split(',').map(str::parse).collect::<Result<_, _>>();
                options.contexts = contexts.map_err(|error| format!("--contexts: {error}"))?;
            }
            Some("--") => options.paths.extend(arguments.by_ref().map(PathBuf::from)),
            Some(option) if option.starts_with('-') => return Err(format!("no option `{option}`")),
            _ => options.paths.push(argument.into()),
        }
    }
    if options.table_mib > 2048 {
        return Err("--table-mb: the table's offsets have 32 bits, so at most 2048".into());
    }
    if options.paths.is_empty() {
        options.paths.push(env!("CARGO_MANIFEST_DIR").into());
    }
    Ok(Some(options))
}

/// The value that follows an option.
fn value<T: std::str::FromStr>(
    arguments: &mut impl Iterator<Item = OsString>,
    option: &str,
) -> Result<T, String> {
    let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{option} cannot be {value:?}"))
}
