//! Texts that end an answer.

/// Holds back text that may be the beginning of a stop text.
pub(crate) struct StopText {
    stops: Vec<String>,
    held: String,
}

impl StopText {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(),
            held: String::new(),
        }
    }

    /// Adds text; returns what is certain, and whether a stop text was reached.
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|s| self.held.find(s.as_str()))
            .min()
        {
            self.held.truncate(at);
            return (self.rest(), true);
        }
        let hold = self
            .stops
            .iter()
            .map(|s| overlap(&self.held, s))
            .max()
            .unwrap_or(0);
        let held = self.held.split_off(self.held.len() - hold);
        (std::mem::replace(&mut self.held, held), false)
    }

    /// What was held back.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(i, _)| i).skip(1);
    ends.filter(|&i| text.ends_with(&stop[..i]))
        .last()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the text is cut, the filter gives out exactly what stands before the stop text.
        #[test]
        fn stop_texts_are_found_in_any_split(
            text in "[ab#é]{0,24}", stop in "[ab#é]{1,4}", cuts in proptest::collection::vec(0usize..24, 0..6),
        ) {
            let mut filter = StopText::new(std::slice::from_ref(&stop));
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort();
            let mut out = String::new();
            let mut stopped = false;
            for pair in cuts.windows(2) {
                let piece: String = chars[pair[0]..pair[1]].iter().collect();
                let (certain, hit) = filter.push(&piece);
                out += &certain;
                if hit {
                    stopped = true;
                    break;
                }
            }
            if !stopped {
                out += &filter.rest();
            }
            prop_assert_eq!(stopped, text.contains(&stop));
            prop_assert_eq!(out.as_str(), text.split(stop.as_str()).next().unwrap_or_default());
        }
    }
}
