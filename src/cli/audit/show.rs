//! `xks-proxy audit show`.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::filter::{Filter, Picked};
use super::limit::{Latest, Limit};
use super::{Which, columns, followed, unreadable};
use crate::audit::Lines;
use crate::cli::exit::{ExitStatus, Refusal};
use crate::cli::progress::Progress;

/// How soon a new line is seen.
const POLL: Duration = Duration::from_millis(200);

/// Show the lines of the audit trail in columns; filter and follow them.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy audit show --config /etc/xks-proxy/config.toml --outcome refused --since 2h\n  \
    xks-proxy audit show --config /etc/xks-proxy/config.toml --limit 200 --store payments\n  \
    xks-proxy audit show --config /etc/xks-proxy/config.toml --follow --key orders\n  \
    xks-proxy audit show --json --request-id 9d2c… audit.jsonl | jq .request_metadata\n\n\
    What is shown is what the files say: whether they were changed says xks-proxy audit verify. In the columns, what could \
    steer a terminal is written out. On a terminal a note says how many older entries match and were not shown.\n\n\
    Exit codes: 0 shown, 1 there was something that is not a line of a trail, 2 wrong usage, or a file cannot be read."
)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    filter: Filter,
    /// Show the last N matching entries, N from 1, or all [default: 50 on a terminal without --follow, else all].
    #[arg(long, short = 'n', value_name = "N|all")]
    limit: Option<Limit>,
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

    /// Shows the entries; returns how many lines were not entries.
    fn show(&self) -> Result<u64, Refusal> {
        let outline = self.which.outline()?;
        let files = self.which.files(outline.as_ref())?;
        let path = followed(&self.which, outline.as_ref());
        let path = path.filter(|_| self.follow);
        if files.is_empty() && !self.follow {
            return Err(unreadable("a file of the trail: there is none"));
        }
        let mut lines = match self.follow {
            true => Lines::following(files),
            false => Lines::of(files),
        };
        let mut out = self.out();
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
            if out.show_latest().is_err() {
                return Ok(0);
            }
            match &path {
                Some(path) => wait(&mut lines, path)?,
                None => {
                    note_torn(lines.torn());
                    return Ok(out.strange);
                }
            }
        }
    }

    fn out(&self) -> Out<StdoutLock<'static>> {
        let stdout = io::stdout().lock();
        let is_terminal = stdout.is_terminal();
        let latest = Latest::within(self.limit_on(is_terminal));
        Out {
            inner: BufWriter::new(stdout),
            is_terminal,
            json: self.json,
            progress: latest.is_some().then(Progress::begin),
            latest,
            read: 0,
            strange: 0,
        }
    }

    fn limit_on(&self, is_terminal: bool) -> Limit {
        match self.limit {
            Some(limit) => limit,
            None if is_terminal && !self.follow => Limit::SCREEN,
            None => Limit::All,
        }
    }
}

/// What is shown ends with the last whole line; it is said when there is more.
fn note_torn(bytes: usize) {
    if bytes > 0 {
        // Without standard error there is nobody to tell.
        drop(writeln!(
            io::stderr(),
            "xks-proxy: {bytes} bytes behind the last whole line are not shown: the line is being written, or the file was cut off"
        ));
    }
}

fn wait(lines: &mut Lines, path: &Path) -> Result<(), Refusal> {
    thread::sleep(POLL);
    lines.look_for_more(path).map_err(unreadable)
}

struct Out<W: Write> {
    inner: BufWriter<W>,
    is_terminal: bool,
    json: bool,
    /// Holds the entries back until the end of the files is reached, if there is a limit.
    latest: Option<Latest>,
    /// Only while entries are held back: otherwise the entries themselves show the progress.
    progress: Option<Progress>,
    read: u64,
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
        self.read += 1;
        if let Some(progress) = &mut self.progress {
            progress.show(|| format!("{} lines read…", self.read));
        }
        match filter.pick(line) {
            Picked::Wanted(_) if self.json => self.entry(line.to_vec()),
            Picked::Wanted(value) => self.entry(columns::row(&value).into_bytes()),
            Picked::Unwanted => Ok(()),
            Picked::Strange => {
                self.strange += 1;
                Ok(())
            }
        }
    }

    fn entry(&mut self, text: Vec<u8>) -> io::Result<()> {
        if let Some(latest) = &mut self.latest {
            latest.push(text);
            return Ok(());
        }
        self.print(&text)
    }

    fn print(&mut self, text: &[u8]) -> io::Result<()> {
        self.inner.write_all(text)?;
        self.inner.write_all(b"\n")
    }

    /// Shows everything that was read and not yet shown. From then on every entry is shown when it is read.
    fn show_latest(&mut self) -> io::Result<()> {
        self.progress = None;
        let latest = self.latest.take();
        for entry in latest.iter().flat_map(Latest::entries) {
            self.print(entry)?;
        }
        self.inner.flush()?;
        let note = latest.and_then(|latest| latest.note());
        if let Some(note) = note.filter(|_| self.is_terminal) {
            // The entries are shown, also without standard error.
            drop(writeln!(io::stderr(), "xks-proxy: {note}"));
        }
        Ok(())
    }
}
