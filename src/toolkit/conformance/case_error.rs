//! Why a case did not pass, as its steps return it.

/// Why a case did not pass.
#[derive(Debug)]
pub(super) enum CaseError {
    /// The proxy breaks the requirement.
    Violation(String),
    /// The case could not run.
    Skipped(String),
}

/// The result of a step without a value.
pub(super) type StepResult = Result<(), CaseError>;

pub(super) fn violation<T>(message: impl Into<String>) -> Result<T, CaseError> {
    Err(CaseError::Violation(message.into()))
}
