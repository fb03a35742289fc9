//! The comparisons in a rule, read from Cedar's JSON form of the rule.

use serde_json::Value;

/// The pseudo attribute of a key for the names of its tags. No attribute can have this name.
pub(super) const TAG: &str = "(tag)";

/// A variable and its attribute, such as `context` and `region`.
pub(super) type Attribute<'a> = (&'a str, &'a str);

/// Calls `found` for every text that a rule compares with an attribute.
pub(super) fn comparisons(rule: &Value, found: &mut impl FnMut(Attribute<'_>, &str)) {
    operations(rule, &mut |operator, operands| {
        compared(operator, operands, found);
    });
}

/// Calls `found` for every operator of a rule, with its operands.
pub(super) fn operations<'a>(rule: &'a Value, found: &mut impl FnMut(&'a str, &'a Value)) {
    match rule {
        Value::Object(members) => {
            for (operator, operands) in members {
                found(operator, operands);
                operations(operands, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| operations(value, found)),
        _ => {}
    }
}

/// Calls `found` for every attribute that a rule compares by `like`, with the pattern. Each wildcard in the pattern is a `None`.
pub(super) fn patterns(rule: &Value, found: &mut impl FnMut(Attribute<'_>, &[Option<&str>])) {
    operations(rule, &mut |operator, operands| {
        let attribute = operands.get("left").and_then(attribute);
        let pattern = operands.get("pattern").and_then(Value::as_array);
        if let ("like", Some(attribute), Some(pattern)) = (operator, attribute, pattern) {
            let parts = pattern.iter().map(literal).collect::<Vec<_>>();
            found(attribute, &parts);
        }
    });
}

fn compared(operator: &str, operands: &Value, found: &mut impl FnMut(Attribute<'_>, &str)) {
    let (Some(left), Some(right)) = (operands.get("left"), operands.get("right")) else {
        return;
    };
    let pairs = match operator {
        "==" | "!=" | "contains" | "containsAll" | "containsAny" => {
            [(attribute(left), right), (attribute(right), left)]
        }
        "hasTag" | "getTag" => [
            (variable(left).map(|name| (name, TAG)), right),
            (None, left),
        ],
        _ => return,
    };
    for (attribute, other) in pairs {
        let Some(attribute) = attribute else { continue };
        let texts = members(other).into_iter().filter_map(Value::as_str);
        texts.for_each(|text| found(attribute, text));
    }
}

fn literal(part: &Value) -> Option<&str> {
    part.get("Literal")?.as_str()
}

/// Returns the name of a variable.
pub(super) fn variable(node: &Value) -> Option<&str> {
    node.get("Var")?.as_str()
}

/// Returns the variable and the attribute of `variable.attribute`.
pub(super) fn attribute(node: &Value) -> Option<Attribute<'_>> {
    let access = node.get(".")?;
    let attribute = access.get("attr")?.as_str()?;
    Some((variable(access.get("left")?)?, attribute))
}

/// Returns the values of a literal, or of a set of literals.
pub(super) fn members(node: &Value) -> Vec<&Value> {
    let set = node.get("Set").and_then(Value::as_array);
    let nodes = set.map_or_else(|| vec![node], |members| members.iter().collect());
    nodes
        .into_iter()
        .filter_map(|node| node.get("Value"))
        .collect()
}
