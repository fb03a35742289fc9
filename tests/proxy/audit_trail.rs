//! The audit trail: what is written, on which disks, and the commands that read it.

mod audit;
mod audit_commands;
mod audit_disks;
mod audit_faults;
mod audit_incomplete;
mod audit_limit;
mod audit_moves;
mod audit_packed;
mod audit_paths;
mod audit_slow;
mod audit_strangers;
mod audit_tampering;
