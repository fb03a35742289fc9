//! The first reading of the configuration.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::proxy::AppError;
