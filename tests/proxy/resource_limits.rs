//! The limits of clients without a verified signature: connections, requests, bytes, descriptors and log lines.

mod descriptors;
mod floods;
mod pipelines;
mod slow;
mod stranger_lines;
mod strangers;
mod unverified;
