//! `xks-proxy audit show`.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::filter::{Filter, Picked};
use super::{Which, columns, followed, unreadable};
use crate::audit::Lines;
use crate::cli::exit::{ExitStatus, Refusal};

/// How soon a new line is seen.
const POLL: Duration = Duration::from_millis(200);

/// Show the lines of the audit trail in columns; filter and follow them.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy audit show --config /etc/xks-proxy/config.toml --outcome refused --since 2h\n  \
    xks-proxy audit show --config /etc/xks-proxy/config.toml --follow --key orders\n  \
    xks-proxy audit show --json --request-id 9d2c… audit.jsonl | jq .request_metadata\n\n\
    What is shown is what the files say: whether they were changed says xks-proxy audit verify. In the columns, what could \
    steer a terminal is written out.\n\n\
    Exit codes: 0 shown, 1 there was something that is not a line of a trail, 2 wrong usage, or a file cannot be read."
)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    filter: Filter,
    /// Go on with the lines that are yet to come, also in the files that they will be in.
    #[arg(long, short)]
    follow: bool,
    /// Print the lines as they are.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        match self.show() {
            Ok(0) => ExitStatus::Done,
            Ok(strange) => {
                let message = format!(
                    "{strange} lines are not of an audit trail of schema version 1 and were left out"
                );
                Refusal::new(ExitStatus::No, message).tell()
            }
            Err(refusal) => refusal.tell(),
        }
    }

    /// Shows all; says how many lines were none.
    fn show(&self) -> Result<u64, Refusal> {
        let outline = self.which.outline()?;
        let files = self.which.files(outline.as_ref())?;
        let path = followed(&self.which, outline.as_ref());
        let path = path.filter(|_| self.follow);
        let mut lines = Lines::of(files);
        let mut out = Out {
            inner: BufWriter::new(io::stdout().lock()),
            json: self.json,
            strange: 0,
        };
        // Who reads has gone: then there is nobody to show anything to.
        if out.head().is_err() {
            return Ok(0);
        }
        loop {
            while let Some(line) = lines.next_line().map_err(unreadable)? {
                if out.line(&self.filter, line).is_err() {
                    return Ok(0);
                }
            }
            if out.inner.flush().is_err() {
                return Ok(0);
            }
            match &path {
                Some(path) => wait(&mut lines, path)?,
                None => return Ok(out.strange),
            }
        }
    }
}

fn wait(lines: &mut Lines, path: &Path) -> Result<(), Refusal> {
    thread::sleep(POLL);
    lines.look_for_more(path).map_err(unreadable)
}

struct Out<W> {
    inner: W,
    json: bool,
    strange: u64,
}

impl<W: Write> Out<W> {
    fn head(&mut self) -> io::Result<()> {
        match self.json {
            true => Ok(()),
            false => writeln!(self.inner, "{}", columns::head()),
        }
    }

    fn line(&mut self, filter: &Filter, line: &[u8]) -> io::Result<()> {
        match filter.pick(line) {
            Picked::Wanted(_) if self.json => {
                self.inner.write_all(line)?;
                self.inner.write_all(b"\n")
            }
            Picked::Wanted(value) => writeln!(self.inner, "{}", columns::row(&value)),
            Picked::Unwanted => Ok(()),
            Picked::Strange => {
                self.strange += 1;
                Ok(())
            }
        }
    }
}
