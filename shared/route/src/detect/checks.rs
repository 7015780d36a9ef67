//! Check digits, and who issues what.

/// The digits' values, most significant first.
type Digits = [u8];

/// The check of payment cards (ISO/IEC 7812-1, annex B).
fn luhn(digits: &Digits) -> bool {
    let doubled = |(index, &digit): (usize, &u8)| match index % 2 {
        0 => u32::from(digit),
        _ if digit > 4 => u32::from(digit) * 2 - 9,
        _ => u32::from(digit) * 2,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    sum.is_multiple_of(10)
}

/// Whether it is a card's number: an issuer's prefix, a length that this issuer has, and Luhn.
pub(super) fn is_card(digits: &Digits) -> bool {
    let length = digits.len();
    if !(13..=19).contains(&length) {
        return false;
    }
    let prefix = number(&digits[..4]);
    let lengths = match prefix {
        4000..=4999 => [13, 16, 19].contains(&length),
        3400..=3499 | 3700..=3799 => length == 15,
        5100..=5599 | 2200..=2204 | 2221..=2720 => length == 16,
        3000..=3059 | 3090..=3099 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 | 8100..=8199 => length >= 16,
        2131 | 1800 => length == 15,
        // Maestro, and the local brands of Korea.
        5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799 | 9400..=9499 => length >= 12,
        _ => false,
    };
    // No issuer gives out 4000 0000 0000 0000.
    let filled = digits[4..].iter().any(|&digit| digit != 0);
    lengths && filled && luhn(digits)
}

fn number(digits: &Digits) -> u64 {
    digits
        .iter()
        .fold(0, |sum, &digit| sum * 10 + u64::from(digit))
}

fn is_day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// How sure a number is a Korean resident registration number.
pub(super) enum Resident {
    No,
    /// A date and a digit of sex and century, without a check digit that fits. Since October 2020
    /// new numbers have none.
    Shape,
    Checked,
}

/// The Korean resident (or foreign resident) registration number, 13 digits.
pub(super) fn korean_resident(digits: &Digits) -> Resident {
    let shaped = digits.len() == 13
        && is_day(number(&digits[2..4]), number(&digits[4..6]))
        && (1..=8).contains(&digits[6]);
    if !shaped {
        return Resident::No;
    }
    let weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];
    let sum: u32 = weights
        .iter()
        .zip(digits)
        .map(|(weight, &digit)| weight * u32::from(digit))
        .sum();
    let base = if digits[6] >= 5 { 13 } else { 11 };
    if (base - sum % 11) % 10 == u32::from(digits[12]) {
        Resident::Checked
    } else {
        Resident::Shape
    }
}

/// Japan's My Number: 12 digits, the last is the check.
pub(super) fn is_my_number(digits: &Digits) -> bool {
    if digits.len() != 12 || digits.iter().all(|&digit| digit == digits[0]) {
        return false;
    }
    let weights = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let sum: u32 = weights
        .iter()
        .zip(digits)
        .map(|(weight, &digit)| weight * u32::from(digit))
        .sum();
    let check = match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    check == u32::from(digits[11])
}

/// A US social security number that could be given out, 9 digits.
pub(super) fn is_social_security(digits: &Digits) -> bool {
    digits.len() == 9
        && !matches!(number(&digits[..3]), 0 | 666 | 900..)
        && number(&digits[3..5]) != 0
        && number(&digits[5..]) != 0
}

/// The French number of the social security, 15 digits with its key of two.
pub(super) fn is_french_nir(digits: &Digits) -> bool {
    digits.len() == 15
        && matches!(digits[0], 1 | 2)
        && (1..=12).contains(&number(&digits[3..5]))
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

/// The German tax number, 11 digits (ISO 7064, MOD 11,10).
pub(super) fn is_german_tax_id(digits: &Digits) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let product = digits[..10].iter().fold(10u32, |product, &digit| {
        let sum = (u32::from(digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(digits[10])
}

/// A Spanish DNI or NIE: 8 digits, or X, Y, Z and 7, then a letter for the remainder by 23.
pub(super) fn is_spanish_id(code: &[char]) -> bool {
    const LETTERS: &str = "TRWAGMYFPDXBNJZSQVHLCKE";
    let [first, middle @ .., last] = code else {
        return false;
    };
    let first = match first {
        'X' => '0',
        'Y' => '1',
        'Z' => '2',
        other => *other,
    };
    let digits: Option<Vec<u8>> = core::iter::once(&first)
        .chain(middle)
        .map(|c| c.to_digit(10).map(|d| d as u8))
        .collect();
    code.len() == 9
        && digits.is_some_and(|d| LETTERS.chars().nth((number(&d) % 23) as usize) == Some(*last))
}

/// The Italian codice fiscale: 16 letters and digits, the last letter is the check.
pub(super) fn is_codice_fiscale(code: &[char]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    const SHAPE: &str = "AAAAAA00A00A000A";
    let fits = |(c, shape): (&char, char)| match shape {
        'A' => c.is_ascii_uppercase(),
        _ => c.is_ascii_digit(),
    };
    if code.len() != 16 || !code.iter().zip(SHAPE.chars()).all(fits) {
        return false;
    }
    // 0 and A are 0, 9 and J are 9.
    let value = |c: char| {
        c.to_digit(10)
            .unwrap_or_else(|| u32::from(c) - u32::from('A'))
    };
    let sum: u32 = code[..15]
        .iter()
        .enumerate()
        .map(|(index, &c)| {
            if index % 2 == 0 {
                ODD[value(c) as usize % 26]
            } else {
                value(c)
            }
        })
        .sum();
    sum % 26 + u32::from('A') == u32::from(code[15])
}

/// A British national insurance number without its blanks.
pub(super) fn is_national_insurance(code: &[char]) -> bool {
    let [a, b, digits @ .., suffix] = code else {
        return false;
    };
    let unused = matches!(
        (a, b),
        ('B', 'G') | ('G', 'B') | ('N', 'K') | ('K', 'N') | ('T', 'N') | ('N', 'T') | ('Z', 'Z')
    );
    let letter = |c: &char| c.is_ascii_uppercase() && !"DFIQUV".contains(*c);
    digits.len() == 6
        && digits.iter().all(char::is_ascii_digit)
        && matches!(suffix, 'A'..='D')
        && letter(a)
        && letter(b)
        && *b != 'O'
        && !unused
}

/// Length of an IBAN by country (SWIFT's registry): two letters and two digits each.
const IBAN_LENGTHS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29\
    ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21\
    LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27\
    SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// Length of the IBANs of the country that these letters name.
pub(super) fn iban_length(country: [char; 2]) -> Option<usize> {
    IBAN_LENGTHS.as_bytes().chunks_exact(4).find_map(|entry| {
        let same = entry[0] as char == country[0] && entry[1] as char == country[1];
        same.then(|| usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0'))
    })
}

/// The check of an IBAN, without its blanks: with its head moved to the end it is 1 by 97.
pub(super) fn is_iban(code: &[char]) -> bool {
    let [a, b, ..] = code else { return false };
    if iban_length([*a, *b]) != Some(code.len()) {
        return false;
    }
    let moved = code[4..].iter().chain(&code[..4]);
    let rest = moved.fold(0, |rest, c| match c.to_digit(36) {
        Some(value) if value > 9 => (rest * 100 + value) % 97,
        Some(value) => (rest * 10 + value) % 97,
        None => rest,
    });
    rest == 1
}
