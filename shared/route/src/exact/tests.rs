use num_rational::Ratio;
use proptest::prelude::*;

use super::answer;

fn text(question: &str) -> Option<String> {
    answer(question).map(|exact| exact.text)
}

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(question, expected)| text(question).as_deref() != Some(expected))
        .map(|(question, expected)| format!("{question}: {:?}, not {expected}", answer(question)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn arithmetic_in_symbols() {
    check(&[
        ("what is 17 * 23?", "391"),
        ("2+2", "4"),
        ("2 + 2 =", "4"),
        ("2+2=?", "4"),
        ("What's 17×23?", "391"),
        ("calculate 12.5% of 80", "10"),
        ("(2 + 3) * 4", "20"),
        ("2 + 3 * 4", "14"),
        ("10 - 4 - 3", "3"),
        ("what is 10 - 12?", "-2"),
        ("2x3x4 =", "24"),
        ("12 + 30 = what?", "42"),
        ("what is 10-4?", "6"),
        ("100 / 10 / 2", "5"),
        ("what is 7/2?", "3.5"),
        ("what is 10/3?", "≈ 3.333333"),
        ("what is 1,234 + 1?", "1235"),
        ("1,000,000 * 1,000", "1000000000"),
        ("what is -5 + 3", "-2"),
        ("5 - -3", "8"),
        ("2 * -3", "-6"),
        ("2^10", "1024"),
        ("2**10", "1024"),
        ("2^3^2", "512"),
        ("2^-1", "0.5"),
        ("(-2)^2", "4"),
        ("3² + 4²", "25"),
        ("√144", "12"),
        ("sqrt(9 + 16)", "5"),
        ("sqrt(2)", "≈ 1.414214"),
        ("sqrt(1/4)", "0.5"),
        ("17x23 =", "391"),
        ("what is 17 x 23", "391"),
        ("what is 5!", "120"),
        ("4! / 3!", "4"),
        ("0.1 + 0.2", "0.3"),
        (".5 + .5", "1"),
        ("what is 3/4 of 20?", "15"),
        ("25% * 80", "20"),
        ("100 - 20% of 50", "90"),
        ("1/3 + 1/3 + 1/3", "1"),
        ("what is 1/8 as a decimal?", "0.125"),
        ("what is 0.75 * 1 as a fraction", "3/4"),
        ("3/4 as a percentage", "75%"),
        (
            "12345678901234567890 * 98765432109876543210",
            "1219326311370217952237463801111263526900",
        ),
    ]);
}

#[test]
fn arithmetic_in_words() {
    check(&[
        ("17 times 23", "391"),
        ("seven plus five", "12"),
        ("What is twenty-three minus four?", "19"),
        ("what's the square root of 144", "12"),
        ("the cube root of 27", "3"),
        ("what is 2 to the power of 10?", "1024"),
        ("2 to the 10th power", "1024"),
        ("five squared", "25"),
        ("3 squared plus 4 squared", "25"),
        ("what is 100 divided by 8", "12.5"),
        ("divide 100 by 8", "12.5"),
        ("subtract 3 from 10", "7"),
        ("add 3 and 4", "7"),
        ("add 3 to 4 please", "7"),
        ("multiply six by seven", "42"),
        ("what is the sum of 3, 4 and 5?", "12"),
        ("the product of 6 and 7", "42"),
        ("difference between 4 and 10", "6"),
        ("average of 3, 4, and 8", "5"),
        ("what is 15 percent of 60?", "9"),
        ("what is 20% off 50", "40"),
        ("increase 80 by 10%", "88"),
        ("decrease 80 by 25 percent", "60"),
        ("half of 10", "5"),
        ("what is two thirds of 12", "8"),
        ("3 + half of 10", "8"),
        ("double 8", "16"),
        ("17 mod 5", "2"),
        ("the remainder when 17 is divided by 5", "2"),
        ("gcd of 12 and 18", "6"),
        ("least common multiple of 4 and 6", "12"),
        (
            "how much is three hundred and five plus one thousand?",
            "1305",
        ),
        ("negative five times three", "-15"),
        ("what does 5 + 3 equal?", "8"),
        ("can you please tell me what 6 times 7 is?", "42"),
        ("Hello! What is 2 + 2, please?", "4"),
        ("20 is what percent of 80?", "25%"),
        ("what percentage of 80 is 20", "25%"),
        ("factorial of 5", "120"),
        ("absolute value of -5", "5"),
        ("2.5 million times 2", "5000000"),
    ]);
}

#[test]
fn what_is_undefined_gets_a_sentence() {
    check(&[
        ("what is 1/0?", "Division by zero is undefined."),
        ("5 divided by zero", "Division by zero is undefined."),
        ("17 mod 0", "Division by zero is undefined."),
        ("0^-1", "Division by zero is undefined."),
        ("what percent of 0 is 5", "Division by zero is undefined."),
        (
            "sqrt(-4)",
            "The square root of a negative number is not a real number.",
        ),
    ]);
}

#[test]
fn units() {
    check(&[
        ("convert 5 km to miles", "≈ 3.106856 miles"),
        ("how many feet in a mile?", "5280 feet"),
        ("how many minutes are there in a day", "1440 minutes"),
        ("100 f in c", "≈ 37.777778 °C"),
        ("what is 100 degrees celsius in fahrenheit?", "212 °F"),
        ("-40°C to °F", "-40 °F"),
        ("0 kelvin in celsius", "-273.15 °C"),
        ("10 kg in pounds", "≈ 22.046226 pounds"),
        ("5 feet 10 inches in cm", "177.8 cm"),
        ("1 hour and 30 minutes in seconds", "5400 seconds"),
        ("90 km/h in m/s", "25 m/s"),
        ("60 mph to km/h", "96.56064 km/h"),
        ("5 in to cm", "12.7 cm"),
        ("1000 g to kg", "1 kg"),
        ("two miles in km", "3.218688 km"),
        ("how many square meters is 2 hectares", "20000 m²"),
        ("1609.344 m in miles", "1 mile"),
    ]);
}

#[test]
fn dates() {
    check(&[
        ("how many days between 2024-02-01 and 2024-03-01", "29"),
        (
            "How many days are there from 1 January 2000 to January 1st, 2001?",
            "366",
        ),
        ("what day of the week was 2000-01-01", "Saturday"),
        ("What day of the week was July 20, 1969?", "Sunday"),
        ("on what day did 4 july 1976 fall?", "Sunday"),
        ("what is 30 days after 2024-02-01", "2024-03-02"),
        ("2024-01-31 plus 2 weeks", "2024-02-14"),
        ("a month after 2024-01-15", "2024-02-15"),
        ("3 days before 2024-03-01", "2024-02-27"),
        ("is 2024 a leap year?", "Yes, 2024 is a leap year."),
        ("was 1900 a leap year", "No, 1900 is not a leap year."),
        ("how many days in february 2024", "29"),
        ("how many days were in 1900?", "365"),
    ]);
}

#[test]
fn silent_when_unsure() {
    let spoken: Vec<_> = [
        // Words that are not understood.
        "what is 17 * 23 apples in history",
        "is 2+2=5 in Orwell's 1984?",
        "my number is 555-1234",
        "what is love + 1",
        "I have 3 apples and eat 2",
        "what is 2+2 in binary",
        "if Tom has 5 apples and buys 7 more, how many does he have?",
        "two plus apples",
        "what is 2 + 2 and why",
        "what is 20 questions",
        "x = 2 + 2",
        "solve x + 2 = 4",
        "what is 100 times better",
        "what is seven of nine",
        "is 2 + 2 = 4?",
        "2 + 2 = 5",
        // Names, numbers of telephones, dates, scores, sizes, ranges.
        "555-1234",
        "what is 555-1234?",
        "1-800-555-1234",
        "9/11",
        "what is 9/11?",
        "24/7",
        "what is 24/7?",
        "50/50",
        "7-11",
        "12/25/2024",
        "what is 12/25/2024",
        "2024-02-01",
        "2024-02-30",
        "2023-2024",
        "what was 2019-20",
        "10-12",
        "3/4",
        "4x4",
        "1920x1080",
        "what is 1920x1080",
        "10–12",
        "007",
        "what is 007 + 1",
        "v1.2.3",
        "what is one plus 7",
        // Nothing to compute.
        "",
        "?",
        "42",
        "what is 42?",
        "seven",
        "-5",
        "50%",
        "what is 50%",
        "(((",
        "what is",
        "1984",
        "a hundred",
        "what is the",
        "+",
        "2 +",
        "* 2",
        "2 2",
        "one two",
        "()",
        "2 ()",
        // Two readings.
        "-2^2",
        "minus 2 squared",
        "half of 10 plus 6",
        "square root of 16 plus 9",
        "50 + 10%",
        "17 % 5",
        "6/2(1+2)",
        "2+2!",
        "5!",
        "5!!",
        "what is 10% of 50 plus 20",
        "0^0",
        "2 to the power of 3 plus 1",
        "3,5 + 1",
        "1,23 + 4",
        "average of 100,200 and 300",
        "sum of one hundred and five and six",
        "add one hundred and five",
        "2 + square root of 16 9",
        "difference of 1",
        "3x + 2",
        "3x - 2",
        "what is 3x + 2",
        "3 x - 2",
        "2²³",
        "5 + + 3",
        "1914 - 1918",
        "what is 1914 - 1918",
        "10 - 12",
        "555 - 1234",
        "5 x",
        "double 0 7",
        "7 mod -3",
        "sum of 5",
        "decrease 80 by -10%",
        "1 2/3",
        "10 % of 20 %",
        // Too large, too long, too deep.
        "9^9^9",
        "2^100000",
        "1000!",
        "10^400^400",
        "sqrt(2) * sqrt(2)",
        // Units with several sizes, or that do not fit.
        "5 gallons in liters",
        "2 cups in ml",
        "how many days in a year",
        "5 km in kg",
        "5 tons in kg",
        "1 mb in bytes",
        "5 pounds in dollars",
        "-5 km in miles",
        "-300 celsius in kelvin",
        "how many km in a marathon",
        "5 km in km",
        "100k in c",
        "5 inches 10 feet in cm",
        // Dates that are none, or of another calendar, or of today.
        "what day is 2023-02-29",
        "what day was 1066-10-14",
        "what day is today",
        "how many days until christmas",
        "what day is 5/6/2024",
        "days from 2024-02-01 to 2024-01-01",
        "how many days are in february",
        "a month after 2024-01-31",
        "is 24 a leap year",
        "what day was 31 april 2000",
        "how many days between 2024-02-01 and 2024-03-01 inclusive",
        "30 days after 9999-12-31",
    ]
    .into_iter()
    .filter_map(|question| answer(question).map(|exact| (question, exact)))
    .collect();
    assert!(spoken.is_empty(), "{spoken:#?}");
}

#[test]
fn nothing_takes_long_or_overflows() {
    for question in [
        "9".repeat(300),
        "(".repeat(300),
        "-".repeat(150) + "1",
        "√".repeat(90) + "1",
        "2^".repeat(100) + "2",
        "half of ".repeat(35) + "1",
        format!("{0}*{0}", "9".repeat(140)),
        "400! ".repeat(10),
        "400!*400!".into(),
        "400!^400!".into(),
        "1/3^999".into(),
        format!("{}!", "9".repeat(50)),
        "square root of ".repeat(18) + "2",
        "9".repeat(100_000),
    ] {
        let _ = answer(&question);
    }
}

#[test]
fn the_expression_says_what_was_understood() {
    for (question, expression) in [
        ("what is 17 times 23?", "17 × 23"),
        ("(2 + 3) * 4 - 1", "(2 + 3) × 4 - 1"),
        ("12.5% of 80", "12.5% of 80"),
        ("what's the square root of 144", "√144"),
        ("subtract 3 from 10", "10 - 3"),
        ("half of a third of 12", "12 ÷ 3 ÷ 2"),
        ("10 / half of 4", "10 ÷ (4 ÷ 2)"),
        ("2^3^2", "2^3^2"),
        ("5 feet 10 inches in cm", "5 feet 10 inches in cm"),
    ] {
        assert_eq!(
            answer(question).map(|exact| exact.expression).as_deref(),
            Some(expression)
        );
    }
}

/// A random calculation, evaluated here without any of the code under test.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(i32),
    Node(char, Box<Tree>, Box<Tree>),
}

type Fraction = Ratio<i128>;

impl Tree {
    fn value(&self) -> Option<Fraction> {
        match self {
            Self::Leaf(value) => Some(Fraction::from(i128::from(*value))),
            Self::Node(sign, a, b) => {
                let (a, b) = (a.value()?, b.value()?);
                match sign {
                    '+' => Some(a + b),
                    '-' => Some(a - b),
                    '*' => Some(a * b),
                    _ => (*b.numer() != 0).then(|| a / b),
                }
            }
        }
    }

    fn write(&self, in_words: bool, top: bool) -> String {
        match self {
            Self::Leaf(value) if *value < 0 => format!("(-{})", value.unsigned_abs()),
            Self::Leaf(value) => value.to_string(),
            Self::Node(sign, a, b) => {
                let sign = match (sign, in_words) {
                    ('+', true) => " plus ",
                    ('-', true) => " minus ",
                    ('*', true) => " times ",
                    ('/', true) => " divided by ",
                    ('+', _) => "+",
                    ('-', _) => "-",
                    ('*', _) => "*",
                    _ => "/",
                };
                let inner = format!(
                    "{}{sign}{}",
                    a.write(in_words, false),
                    b.write(in_words, false)
                );
                if top { inner } else { format!("({inner})") }
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    (-99i32..1000)
        .prop_map(Tree::Leaf)
        .prop_recursive(4, 12, 2, |inner| {
            (
                prop::sample::select(vec!['+', '-', '*', '/']),
                inner.clone(),
                inner,
            )
                .prop_map(|(sign, a, b)| Tree::Node(sign, a.into(), b.into()))
        })
}

proptest! {
    #[test]
    fn random_calculations_are_right(tree in tree(), in_words in any::<bool>()) {
        let question = format!("calculate {}", tree.write(in_words, true));
        let spoken = text(&question);
        let Tree::Node(..) = tree else {
            prop_assert_eq!(spoken, None);
            return Ok(());
        };
        if question.len() > super::LONGEST {
            return Ok(());
        }
        match tree.value() {
            None => prop_assert_eq!(spoken.as_deref(), Some("Division by zero is undefined.")),
            Some(value) => {
                let spoken = spoken.expect(&question);
                match spoken.strip_prefix("≈ ") {
                    None => prop_assert_eq!(decimal(&spoken), value, "{}", question),
                    Some(rounded) => {
                        // Six decimals, or six digits: the error is at most half of the last one.
                        let error = (decimal(rounded) - value).reduced();
                        let error = *error.numer() as f64 / *error.denom() as f64;
                        let size = (*value.numer() as f64 / *value.denom() as f64).abs();
                        prop_assert!(error.abs() <= 0.5000001e-6 * f64::max(1e-30, size.clamp(0.0, 1.0) * 10.0).min(1.0),
                            "{}: {} off by {}", question, rounded, error);
                    }
                }
            }
        }
    }

    #[test]
    fn precedence_is_the_usual(numbers in prop::collection::vec(0i64..100, 2..8), signs in prop::collection::vec(0usize..3, 7)) {
        // Sums of products, added up here in one pass.
        let (mut total, mut product, mut question) = (0i64, numbers[0], numbers[0].to_string());
        for (number, sign) in numbers[1..].iter().zip(signs) {
            question += &format!(" {} {number}", ["+", "-", "*"][sign]);
            match sign {
                0 => (total, product) = (total + product, *number),
                1 => (total, product) = (total + product, -number),
                _ => product *= number,
            }
        }
        // A bare "0 - 1" could be a range.
        let question = format!("what is {question}?");
        prop_assert_eq!(text(&question), Some((total + product).to_string()));
    }

    #[test]
    fn any_text_is_read_or_refused(question in ".{0,120}") {
        let _ = answer(&question);
    }

    #[test]
    fn any_pile_of_words_is_read_or_refused(words in prop::collection::vec(prop::sample::select(vec![
        "what", "is", "the", "of", "and", "a", "5", "12", "-", "+", "*", "/", "^", "(", ")", "%", "!", "√",
        "half", "third", "square", "root", "squared", "percent", "plus", "minus", "times", "to", "power",
        "seven", "hundred", "thousand", "point", "sum", "average", ",", "2024-02-29", "days", "between",
        "km", "miles", "in", "how", "many", "january", "2000", "1st", "after", "increase", "by", "=", "?",
    ]), 0..14), glue in any::<bool>()) {
        let _ = answer(&words.join(if glue { "" } else { " " }));
    }

    #[test]
    fn other_words_silence_it(a in 1u32..1000, b in 1u32..1000, word in "(apples|years|in history|of rome|because|dollars|and)") {
        let question = format!("what is {a} + {b} {word}");
        prop_assert_eq!(text(&question), None);
    }
}

/// Reads a decimal number exactly.
fn decimal(text: &str) -> Fraction {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits: i128 = format!("{whole}{decimals}").parse().unwrap();
    Fraction::new(digits, 10i128.pow(decimals.len() as u32))
}
