//! Suggestions for misspelt names.

/// The maximum edit distance of a suggestion.
const MAX_DISTANCE: usize = 3;

/// Returns the known name that is most similar to `text`; `None` if all differ too much.
pub fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let with_distance = known.map(|name| (strsim::damerau_levenshtein(text, name), name));
    let near = with_distance.filter(|(distance, _)| *distance <= MAX_DISTANCE);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_found_unless_it_differs_too_much() {
        let near = |text| nearest(text, ["payments", "payment-2", "retail"].into_iter());
        assert_eq!(near("paymentz"), Some("payments"));
        assert_eq!(near("retial"), Some("retail"));
        assert_eq!(near("archive"), None);
    }
}
