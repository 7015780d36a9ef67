//! Unicode's normalization forms.

/// One of the four.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

impl Form {
    /// A text in this form; none if it is in it already, as nearly all texts are.
    pub(super) fn of(self, text: &str) -> Option<String> {
        // Below these nothing is composed, taken apart or put into another order.
        let unchanged = match self {
            Form::Nfc => '\u{300}',
            Form::Nfd => '\u{c0}',
            Form::Nfkc | Form::Nfkd => '\u{a0}',
        };
        match text.chars().all(|character| character < unchanged) {
            true => None,
            false => Some(self.convert(text)),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn convert(self, text: &str) -> String {
        use unicode_normalization::UnicodeNormalization;
        match self {
            Form::Nfc => text.nfc().collect(),
            Form::Nfd => text.nfd().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Nfkd => text.nfkd().collect(),
        }
    }

    /// By the browser, whose tables need no download.
    #[cfg(target_arch = "wasm32")]
    fn convert(self, text: &str) -> String {
        let form = match self {
            Form::Nfc => "NFC",
            Form::Nfd => "NFD",
            Form::Nfkc => "NFKC",
            Form::Nfkd => "NFKD",
        };
        js_sys::JsString::from(text).normalize(form).into()
    }
}

/// A letter in small; some become two characters.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn lowercase(letter: char) -> String {
    letter.to_lowercase().collect()
}

/// The same by the browser's tables.
#[cfg(target_arch = "wasm32")]
pub(super) fn lowercase(letter: char) -> String {
    match letter.is_ascii() {
        true => letter.to_ascii_lowercase().into(),
        false => js_sys::JsString::from(letter).to_lower_case().into(),
    }
}
