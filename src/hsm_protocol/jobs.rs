//! The frames of a session channel: jobs of the front, and answers of the worker.

pub mod answer;
pub mod batch;
pub mod job;
