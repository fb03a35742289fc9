//! `xks-proxy audit show`.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::filter::{Filter, Picked};
use super::limit::{Latest, Limit};
use super::trail::{Trail, followed, note, unreadable};
use super::{columns, incomplete};
use crate::audit::{Breaks, Lines, Listing};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::cli::output::progress::Progress;
use crate::cli::output::terminal::safe;
use crate::config::Outline;

/// The maximum number of attempts to list the files, if the log starts a new file at the same time.
const ATTEMPTS: usize = 10;

/// The interval between two checks for new lines.
const POLL: Duration = Duration::from_millis(200);

/// Show the lines of the audit log in columns; filter and follow them.
#[derive(Args)]
#[command(
    // plain-english: quotation
    after_help = "Example:\n  xks-proxy audit show --config /etc/xks-proxy/config.toml --outcome refused --since 2h\n  \
    xks-proxy audit show --config /etc/xks-proxy/config.toml --limit 200 --store payments\n  \
    xks-proxy audit show --config /etc/xks-proxy/config.toml --follow --key orders\n  \
    xks-proxy audit show --json --request-id 9d2c… audit.jsonl | jq .request_metadata\n\n\
    This command does not detect changed files; use xks-proxy audit verify. In the columns, characters that could control a \
    terminal are escaped. On a terminal, a note contains the number of older entries that match and are not shown.\n\n\
    Exit codes: 0 shown; 1 a line is not a line of an audit log, or the log has no line; 2 wrong usage, a name that \
    neither the log nor the configuration has, or a file cannot be read; 3 shown, but lines are missing or occur twice, or a \
    file of the log has a form that this command cannot read (standard error names it)."
)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    filter: Filter,
    /// Show the last N matching entries, N from 1, or all [default: 50 on a terminal without --follow, else all].
    #[arg(long, short = 'n', value_name = "N|all")]
    limit: Option<Limit>,
    /// Follow new entries, across file rotation.
    #[arg(long, short)]
    follow: bool,
    /// Print the unchanged lines.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        self.show().unwrap_or_else(CommandError::report)
    }

    fn show(&self) -> Result<ExitStatus, CommandError> {
        self.filter.check()?;
        let outline = self.trail.outline()?;
        let outline = outline.as_ref();
        let end = self.trail.end(outline)?;
        let (mut lines, listing) = self.lines(outline)?;
        let path = followed(&self.trail, outline).filter(|_| self.follow);
        let mut out = self.out();
        // The reader has closed the output.
        if out.head().is_err() {
            return Ok(ExitStatus::Done);
        }
        if path.is_some() {
            let unknown = outline.and_then(|o| self.filter.unknown_name(&o.key_stores));
            let left_out = incomplete::of_reading(&listing.left_out, Breaks::default());
            left_out.into_iter().chain(unknown).for_each(note);
        }
        let mut reported = Breaks::default();
        loop {
            while let Some(line) = lines.next_line().map_err(unreadable)? {
                if out.line(&self.filter, line).is_err() {
                    return Ok(ExitStatus::Done);
                }
            }
            if out.show_latest().is_err() {
                return Ok(ExitStatus::Done);
            }
            let Some(path) = &path else {
                let unseen = incomplete::unseen_end(lines.last_number(), end);
                let mut gaps = incomplete::of_reading(&listing.left_out, lines.breaks());
                gaps.extend(unseen);
                return self.end(outline, &lines, &out, &gaps);
            };
            if lines.breaks() != std::mem::replace(&mut reported, lines.breaks()) {
                let gaps = incomplete::of_reading(&[], reported);
                gaps.into_iter().for_each(note);
            }
            wait(&mut lines, path)?;
        }
    }

    /// Returns the files and opens the last one: if the log starts a new file at the same time, that one is read up to its former end.
    fn lines(&self, outline: Option<&Outline>) -> Result<(Lines, Listing), CommandError> {
        let mut listing = self.trail.listing(outline)?;
        for _ in 1..ATTEMPTS {
            let files = listing.files.clone();
            if files.is_empty() && !self.follow {
                break;
            }
            let lines = match self.follow {
                true => Lines::following(files),
                false => Lines::of(files),
            };
            // A stream is opened once.
            if self.trail.configured(outline)?.is_none() {
                return Ok((lines, listing));
            }
            let now = self.trail.listing(outline)?;
            if now == listing {
                return Ok((lines, listing));
            }
            listing = now;
        }
        listing
            .left_out
            .iter()
            .map(incomplete::not_read)
            .for_each(note);
        match listing.files.is_empty() {
            true => Err(unreadable("the audit log: it has no file")),
            false => Err(unreadable("the audit log: its files change all the time")),
        }
    }

    /// Reports what was not shown, and returns the exit code.
    fn end(
        &self,
        outline: Option<&Outline>,
        lines: &Lines,
        out: &Out<impl Write>,
        gaps: &[String],
    ) -> Result<ExitStatus, CommandError> {
        note_torn(lines.torn());
        gaps.iter().for_each(note);
        if out.strange > 0 {
            let strange = out.strange;
            let message = format!(
                "{strange} lines are not of an audit trail of schema version 1 and were left out"
            );
            return Err(CommandError::new(ExitStatus::No, message));
        }
        if out.read == 0 {
            let files: Vec<_> = lines
                .blank_files()
                .iter()
                .map(|file| safe(&file.to_string_lossy()))
                .collect();
            let message = format!("no audit log line in {}", files.join(", "));
            return Err(CommandError::new(ExitStatus::No, message));
        }
        let unknown = outline.and_then(|outline| self.filter.unknown_name(&outline.key_stores));
        match unknown.filter(|_| out.shown == 0) {
            Some(unknown) => Err(CommandError::usage(unknown)),
            None if gaps.is_empty() => Ok(ExitStatus::Done),
            None => Ok(ExitStatus::Incomplete),
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
            shown: 0,
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

/// The output ends with the last complete line. An incomplete line after it is reported.
fn note_torn(bytes: usize) {
    if bytes > 0 {
        note(format!(
            "{bytes} bytes behind the last whole line are not shown: the line is being written, or the file was cut off"
        ));
    }
}

fn wait(lines: &mut Lines, path: &Path) -> Result<(), CommandError> {
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
    /// How many entries are wanted.
    shown: u64,
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
        self.shown += 1;
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
