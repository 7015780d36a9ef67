//! When two short answers are the same.

/// An answer in the form by which votes are compared: lower case, single spaces, no full stops at the end, and a number without
/// the separators and zeros that don't change it.
///
/// ```
/// # use sprat_service::normalize;
/// assert_eq!(normalize(" The  answer.\n"), "the answer");
/// assert_eq!(normalize("1,000"), normalize("1000.0"));
/// ```
pub fn normalize(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let text = words.join(" ");
    let text = text.trim_end_matches(['.', ' ']);
    number(text).unwrap_or_else(|| text.to_lowercase())
}

/// A decimal number in its shortest form. By its digits, as floating-point numbers would make some equal that are not.
fn number(text: &str) -> Option<String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let whole = ungrouped(whole)?;
    if !are_digits(&whole) || !are_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = fraction.trim_end_matches('0');
    let mut number = String::new();
    if negative && (whole, fraction) != ("0", "") {
        number.push('-');
    }
    number += whole;
    if !fraction.is_empty() {
        number.push('.');
        number += fraction;
    }
    Some(number)
}

/// Digits without commas, if those stand where thousands end: in `1,5` it may be a decimal one.
fn ungrouped(whole: &str) -> Option<String> {
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let grouped = (1..=3).contains(&first.len()) && rest.iter().all(|group| group.len() == 3);
    (rest.is_empty() || grouped).then(|| first.to_owned() + &rest.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers() {
        for (answer, normal) in [
            ("Paris.", "paris"),
            (" PARIS \n", "paris"),
            ("a  b\tc", "a b c"),
            ("", ""),
            ("...", ""),
            ("U.S.", "u.s"),
            ("1,000", "1000"),
            ("1000.0", "1000"),
            ("1000.", "1000"),
            ("+007.50", "7.5"),
            ("-0", "0"),
            ("-0.5", "-0.5"),
            (".5", "0.5"),
            ("12,34", "12,34"),
            ("1,00,000", "1,00,000"),
            ("1.2.3", "1.2.3"),
            ("1e3", "1e3"),
            ("-", "-"),
            ("9007199254740993", "9007199254740993"),
        ] {
            assert_eq!(normalize(answer), normal, "{answer:?}");
        }
    }

    fn grouped(n: u64) -> String {
        let digits = n.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    proptest! {
        #[test]
        fn twice_is_once(answer in ".{0,40}|[-+0-9., ]{0,12}") {
            let once = normalize(&answer);
            prop_assert_eq!(normalize(&once), once);
        }

        #[test]
        fn spaces_and_a_full_stop_change_nothing(
            words in proptest::collection::vec("[A-Za-z0-9äß]{1,6}", 1..5),
            space in "[ \t\n]{1,3}",
        ) {
            let plain = normalize(&words.join(" "));
            prop_assert_eq!(normalize(&format!("{space}{}.{space}", words.join(&space))), plain);
        }

        #[test]
        fn a_number_is_itself_however_it_is_written(n in any::<u64>(), zeros in 0usize..4) {
            let plain = n.to_string();
            prop_assert_eq!(normalize(&plain), &*plain);
            prop_assert_eq!(normalize(&grouped(n)), &*plain);
            prop_assert_eq!(normalize(&format!("{}.{}", grouped(n), "0".repeat(zeros))), &*plain);
            prop_assert_eq!(normalize(&format!("{}{plain}", "0".repeat(zeros))), &*plain);
        }

        #[test]
        fn different_numbers_stay_different(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(normalize(&a.to_string()) == normalize(&b.to_string()), a == b);
        }
    }
}
