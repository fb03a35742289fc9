//! seccomp filters: make system calls fail.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

use crate::sandbox::protections::Protections;

/// A call that fails: always if there are no rules, otherwise when one of the rules matches.
pub(in crate::sandbox) type Call = (i64, Vec<Rule>);

/// A rule matches when all of its conditions hold.
pub(in crate::sandbox) type Rule = Vec<Condition>;

/// A condition on the argument with this index.
#[derive(Clone, Copy)]
pub(in crate::sandbox) enum Condition {
    /// This bit is set.
    Has(u8, u32),
    /// This bit is not set.
    Lacks(u8, u32),
    /// The argument has this value.
    Is(u8, u32),
    /// The argument does not have this value.
    IsNot(u8, u32),
}

/// Calls that fail with the same error.
pub(in crate::sandbox) struct Denied {
    pub(in crate::sandbox) errno: i32,
    pub(in crate::sandbox) calls: Vec<Call>,
}

/// Applies the filters to every thread of the process.
pub(in crate::sandbox) fn apply(denied: &[Denied], protections: &mut Protections) {
    let outcome = denied.iter().try_for_each(|denied| {
        let program = compile(denied)?;
        apply_filter_all_threads(&program)
    });
    protections.note("system call filter", outcome);
}

fn compile(denied: &Denied) -> Result<BpfProgram, seccompiler::Error> {
    let rules = denied.calls.iter().map(|(call, rules)| {
        let rules: Result<Vec<_>, _> = rules.iter().map(|rule| compile_rule(rule)).collect();
        Ok((*call, rules?))
    });
    let errno = denied.errno.unsigned_abs();
    let filter = SeccompFilter::new(
        rules.collect::<Result<_, BackendError>>()?,
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into()?,
    )?;
    let mut program = x32_filter();
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

fn compile_rule(rule: &[Condition]) -> Result<SeccompRule, BackendError> {
    let conditions = rule.iter().map(|condition| {
        let (argument, operator, value) = match *condition {
            Condition::Has(argument, bit) => (argument, SeccompCmpOp::MaskedEq(bit.into()), bit),
            Condition::Lacks(argument, bit) => (argument, SeccompCmpOp::MaskedEq(bit.into()), 0),
            Condition::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
            Condition::IsNot(argument, value) => (argument, SeccompCmpOp::Ne, value),
        };
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Returns a filter that rejects the x32 interface of x86-64 with `ENOSYS`: it has a second number for each call, which is not in the deny
/// list.
#[cfg(target_arch = "x86_64")]
fn x32_filter() -> BpfProgram {
    use seccompiler::sock_filter;

    /// `__X32_SYSCALL_BIT`.
    const X32: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    let rejected = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        step(LOAD_NUMBER, 0, 0),
        step(JUMP_IF_AT_LEAST, 1, X32),
        step(RETURN, 0, rejected),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn x32_filter() -> BpfProgram {
    BpfProgram::new()
}
