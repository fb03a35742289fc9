//! `xks-proxy audit verify`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::incomplete::{Known, SealsDue};
use super::report;
use super::trail::{Trail, unreadable};
use crate::audit::{Listing, Position, Verification, verify};
use crate::cli::input::{hsms, load};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::cli::output::progress::Progress;
use crate::config::Outline;
use crate::inventory::Inventory;

/// The maximum number of attempts to list the files, if the log starts a new file at the same time.
const ATTEMPTS: usize = 3;

/// Verify the audit log: the range in which its chain is valid, and the first line that was changed.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy audit verify --config /etc/xks-proxy/config.toml --hsm\n  \
    xks-proxy audit verify --config /etc/xks-proxy/config.toml --hsm /archive/2026-10/audit.jsonl.*\n  \
    xks-proxy audit verify --after 81522:5be1… audit.jsonl\n\n\
    Without --hsm, only the chain is verified: everybody who can write the files could have written a new chain. With --hsm, \
    the HSMs of the configuration check each seal with the key of [audit]. A rejected PIN is not tried again. A \
    proxy may use the same HSMs at the same time. Lines that were removed after the last seal are detected only with a line from an \
    earlier verification: keep the line that this command prints, and pass it with --after the next time.\n\n\
    Exit codes: 0 valid; 1 not valid, or (with --hsm) an HSM rejects a seal; 2 wrong usage, or a file cannot be \
    read; 3 what was read is valid, but it is incomplete (a file in a form that this command cannot read, or lines that only the \
    position file or the log itself refers to), or lines after the last seal are older than [audit] checkpoint allows; \
    78 bad configuration."
)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    trail: Trail,
    /// Check the seals with the HSMs of the configuration.
    #[arg(long, requires = "config")]
    hsm: bool,
    /// A line from an earlier verification: in these files, or the last one before them.
    #[arg(long, value_name = "SEQ:HASH")]
    after: Option<Position>,
    /// The label of an earlier seal key, in addition to the key of `[audit]`; may be repeated.
    #[arg(long, value_name = "LABEL", requires = "hsm")]
    seal_key: Vec<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: hsms::LoginOptions,
}

impl Verify {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let (found, listing, known) = match self.found() {
            Ok(found) => found,
            Err(refusal) => return refusal.report(),
        };
        let report = report::Report {
            found: &found,
            left_out: &listing.left_out,
            known,
            with_hsm: self.hsm,
        };
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => writeln!(io::stdout(), "{}", report.json()),
            false => write!(io::stdout(), "{}", report.text()),
        });
        report.status()
    }

    /// Returns the result, the files, and what is known from other sources.
    fn found(&self) -> Result<(Verification, Listing, Known), CommandError> {
        let outline = self.trail.outline()?;
        let outline = outline.as_ref();
        let known = self.known(outline)?;
        let (found, listing) = self.verification(outline, &known)?;
        Ok((found, listing, known))
    }

    /// Must be called before the files are read, because the log may grow.
    fn known(&self, outline: Option<&Outline>) -> Result<Known, CommandError> {
        let configured = self.trail.configured(outline)?;
        let now = configured.map(|_| SystemTime::now());
        let settings = outline.and_then(|outline| outline.audit.as_ref());
        let seals = settings.map(|settings| SealsDue::of(settings, now));
        Ok(Known {
            after: self.after,
            end: self.trail.end(outline)?,
            seals: seals.filter(|_| self.hsm),
        })
    }

    fn verification(
        &self,
        outline: Option<&Outline>,
        known: &Known,
    ) -> Result<(Verification, Listing), CommandError> {
        if !self.hsm {
            return self.verified(outline, known, None);
        }
        let Some(file) = &self.trail.config else {
            return Err(unreadable("no configuration"));
        };
        let configured = load::configuration(file)?.configuration;
        let mut keys = self.seal_key.clone();
        let audit = configured.audit.as_ref();
        keys.extend(audit.and_then(|audit| audit.key.clone()));
        if keys.is_empty() {
            let message = "[audit] has no key, so no HSM seals the audit log; for seals of an earlier key, use --seal-key";
            return Err(CommandError::usage(message));
        }
        let inventory = hsms::open(file, &configured.hsms, &self.logins);
        self.verified(outline, known, Some((&inventory, &keys)))
    }

    fn verified(
        &self,
        outline: Option<&Outline>,
        known: &Known,
        sealers: Option<(&Inventory, &[String])>,
    ) -> Result<(Verification, Listing), CommandError> {
        let mut listing = self.trail.listing(outline)?;
        for _ in 1..ATTEMPTS {
            let found = self.verify(&listing.files, sealers)?;
            let last = found.last.as_ref().map_or(0, |last| last.position.seq);
            let is_whole = known.end.is_none_or(|end| last >= end.seq);
            // The proxy may have renamed the old file during the verification. That is not an error.
            let now = self.trail.listing(outline)?;
            if found.fault.is_none() && is_whole || now == listing {
                return Ok((found, listing));
            }
            listing = now;
        }
        Ok((self.verify(&listing.files, sealers)?, listing))
    }

    fn verify(
        &self,
        files: &[PathBuf],
        sealers: Option<(&Inventory, &[String])>,
    ) -> Result<Verification, CommandError> {
        let mut progress = Progress::begin();
        let mut tell = |lines| progress.show(|| format!("{lines} lines verified…"));
        let seals = sealers.map(|(inventory, keys)| inventory.seals(keys));
        let verifier = seals.as_ref().map(|seals| seals as _);
        verify(files, self.after, verifier, &mut tell).map_err(unreadable)
    }
}
