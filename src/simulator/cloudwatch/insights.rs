//! The part of Metrics Insights queries that alarms use:
//! `SELECT FUNCTION(metric) FROM "namespace" | SCHEMA("namespace", dimension…) [WHERE dimension = 'value' [AND …]]`.

use super::series::Statistics;

/// A query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) function: Function,
    pub(super) metric: String,
    pub(super) namespace: String,
    /// All dimensions of the metric; none if the query has no SCHEMA.
    schema: Option<Vec<String>>,
    conditions: Vec<DimensionCondition>,
}

#[derive(Debug, PartialEq, Eq)]
struct DimensionCondition {
    dimension: String,
    is_equal: bool,
    value: String,
}

/// The aggregation of the values of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Average,
    Count,
    Maximum,
    Minimum,
    Sum,
}

impl Function {
    /// Returns the aggregated value.
    pub(super) fn of(self, statistics: Statistics) -> f64 {
        match self {
            Self::Average => statistics.sum / statistics.count,
            Self::Count => statistics.count,
            Self::Maximum => statistics.most,
            Self::Minimum => statistics.least,
            Self::Sum => statistics.sum,
        }
    }

    /// Returns the function of a statistic.
    pub(super) fn of_statistic(name: &str) -> Option<Self> {
        Some(match name {
            "Average" => Self::Average,
            "SampleCount" => Self::Count,
            "Maximum" => Self::Maximum,
            "Minimum" => Self::Minimum,
            "Sum" => Self::Sum,
            _ => return None,
        })
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "AVG" => Self::Average,
            "COUNT" => Self::Count,
            "MAX" => Self::Maximum,
            "MIN" => Self::Minimum,
            "SUM" => Self::Sum,
            _ => return None,
        })
    }
}

impl Select {
    /// Parses a query. The error is the reason why it cannot be parsed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = QueryTokens(tokens(text)?.into_iter());
        rest.keyword("SELECT")?;
        let function = rest.name()?;
        let function =
            Function::parse(&function).ok_or("the function is not AVG, COUNT, MAX, MIN or SUM")?;
        rest.symbol("(")?;
        let metric = rest.name()?;
        rest.symbol(")")?;
        rest.keyword("FROM")?;
        let (namespace, schema) = rest.source()?;
        let mut conditions = Vec::new();
        if let Some(word) = rest.0.next() {
            word.expect_keyword("WHERE")?;
            conditions = rest.conditions()?;
        }
        Ok(Self {
            function,
            metric,
            namespace,
            schema,
            conditions,
        })
    }

    /// Returns whether the query selects a metric with these dimensions.
    pub(super) fn is_about(&self, dimensions: &[(&'static str, String)]) -> bool {
        let value = |wanted: &str| dimensions.iter().find(|(name, _)| *name == wanted);
        let fits_schema = self.schema.as_ref().is_none_or(|schema| {
            schema.len() == dimensions.len() && schema.iter().all(|name| value(name).is_some())
        });
        let holds = |condition: &DimensionCondition| {
            value(&condition.dimension)
                .is_some_and(|(_, value)| (*value == condition.value) == condition.is_equal)
        };
        fits_schema && self.conditions.iter().all(holds)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum QueryToken {
    /// A word, or a name in double quotes.
    Name(String),
    /// A text in single quotes.
    Value(String),
    Symbol(&'static str),
}

impl QueryToken {
    fn expect_keyword(&self, keyword: &str) -> Result<(), String> {
        match self {
            Self::Name(word) if word.eq_ignore_ascii_case(keyword) => Ok(()),
            _ => Err(format!(
                "{keyword} is expected; GROUP BY, ORDER BY and LIMIT are not supported"
            )),
        }
    }
}

struct QueryTokens(std::vec::IntoIter<QueryToken>);

impl QueryTokens {
    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        let next = self.0.next().unwrap_or(QueryToken::Symbol(""));
        next.expect_keyword(keyword)
    }

    fn name(&mut self) -> Result<String, String> {
        match self.0.next() {
            Some(QueryToken::Name(name)) => Ok(name),
            _ => Err("a name is expected".to_owned()),
        }
    }

    fn symbol(&mut self, symbol: &str) -> Result<(), String> {
        match self.0.next() {
            Some(QueryToken::Symbol(found)) if found == symbol => Ok(()),
            _ => Err(format!("{symbol} is expected")),
        }
    }

    /// Parses the namespace and the dimensions of a SCHEMA.
    fn source(&mut self) -> Result<(String, Option<Vec<String>>), String> {
        let name = self.name()?;
        if !name.eq_ignore_ascii_case("SCHEMA") {
            return Ok((name, None));
        }
        self.symbol("(")?;
        let (namespace, mut schema) = (self.name()?, Vec::new());
        loop {
            match self.0.next() {
                Some(QueryToken::Symbol(")")) => return Ok((namespace, Some(schema))),
                Some(QueryToken::Symbol(",")) => schema.push(self.name()?),
                _ => return Err("SCHEMA is not closed".to_owned()),
            }
        }
    }

    fn conditions(&mut self) -> Result<Vec<DimensionCondition>, String> {
        let mut conditions = Vec::new();
        loop {
            let dimension = self.name()?;
            let is_equal = match self.0.next() {
                Some(QueryToken::Symbol("=")) => true,
                Some(QueryToken::Symbol("!=")) => false,
                _ => return Err("= or != is expected".to_owned()),
            };
            let Some(QueryToken::Value(value)) = self.0.next() else {
                return Err("a value in single quotes is expected".to_owned());
            };
            conditions.push(DimensionCondition {
                dimension,
                is_equal,
                value,
            });
            match self.0.next() {
                None => return Ok(conditions),
                Some(word) => word.expect_keyword("AND")?,
            }
        }
    }
}

fn tokens(text: &str) -> Result<Vec<QueryToken>, String> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' | '\'' => quoted(rest, first)?,
            _ => word_or_symbol(rest)?,
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn quoted(text: &str, quote: char) -> Result<(QueryToken, &str), String> {
    let inside = text.get(1..).unwrap_or_default();
    let (inside, after) = inside
        .split_once(quote)
        .ok_or("a quotation is not closed")?;
    let inside = inside.to_owned();
    let token = match quote {
        '"' => QueryToken::Name(inside),
        _ => QueryToken::Value(inside),
    };
    Ok((token, after))
}

fn word_or_symbol(text: &str) -> Result<(QueryToken, &str), String> {
    for symbol in ["!=", "=", "(", ")", ","] {
        if let Some(after) = text.strip_prefix(symbol) {
            return Ok((QueryToken::Symbol(symbol), after));
        }
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '*');
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((word, after)) if end > 0 => Ok((QueryToken::Name(word.to_owned()), after)),
        _ => Err("a character is not allowed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: [(&str, &str); 2] = [
        ("CustomKeyStoreId", "cks-1"),
        ("ErrorType", "Non-retryable"),
    ];

    fn is_about(query: &str) -> bool {
        let dimensions = DIMENSIONS.map(|(name, value)| (name, value.to_owned()));
        Select::parse(query).unwrap().is_about(&dimensions)
    }

    #[test]
    fn queries_select_metrics_by_dimensions() {
        let base = "select SUM(XksProxyErrors) FROM \"AWS/KMS\"";
        let parsed = Select::parse(base).unwrap();
        assert_eq!(parsed.function, Function::Sum);
        assert_eq!(
            (parsed.metric.as_str(), parsed.namespace.as_str()),
            ("XksProxyErrors", "AWS/KMS")
        );
        assert!(is_about(base));
        for (condition, expected) in [
            ("CustomKeyStoreId = 'cks-1'", true),
            (
                "CustomKeyStoreId='cks-1' AND \"ErrorType\" = 'Non-retryable'",
                true,
            ),
            ("CustomKeyStoreId = 'cks-2'", false),
            (
                "CustomKeyStoreId = 'cks-1' and ErrorType != 'Non-retryable'",
                false,
            ),
            ("ErrorType != 'Retryable'", true),
            ("KeySpec != 'RSA'", false),
        ] {
            assert_eq!(
                is_about(&format!("{base} WHERE {condition}")),
                expected,
                "{condition}"
            );
        }
        let schema = |schema: &str| is_about(&format!("SELECT MAX(m) FROM SCHEMA({schema})"));
        assert!(schema("\"AWS/KMS\", ErrorType, CustomKeyStoreId"));
        assert!(
            !schema("\"AWS/KMS\", CustomKeyStoreId"),
            "each dimension counts"
        );
    }

    #[test]
    fn unsupported_queries_are_rejected() {
        for bad in [
            "",
            "SELECT",
            "SELECT MEDIAN(m) FROM n",
            "SELECT SUM(m)",
            "SELECT SUM(m FROM n",
            "SELECT SUM(m) FROM n WHERE",
            "SELECT SUM(m) FROM n WHERE d = v",
            "SELECT SUM(m) FROM n WHERE d = 'v",
            "SELECT SUM(m) FROM n WHERE d > 'v'",
            "SELECT SUM(m) FROM n GROUP BY d",
            "SELECT SUM(m) FROM n WHERE d = 'v' ORDER BY d",
            "SELECT SUM(m) FROM SCHEMA(n, d",
            "SELECT SUM(m) FROM n;",
        ] {
            assert!(Select::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_statistic_is_computed() {
        let mut statistics = Statistics::of(1.0);
        statistics.add(Statistics::of(4.0));
        for (name, value) in [
            ("Sum", 5.0),
            ("Average", 2.5),
            ("Minimum", 1.0),
            ("Maximum", 4.0),
            ("SampleCount", 2.0),
        ] {
            assert_eq!(Function::of_statistic(name).unwrap().of(statistics), value);
        }
        assert!(Function::of_statistic("p99").is_none());
    }
}
