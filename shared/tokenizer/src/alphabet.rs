//! GPT-2's alphabet: a character for each byte, so that a vocabulary of bytes can be written as text.

/// Whether a byte stands for itself; the others are U+0100 and what follows, in their order.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of each byte.
const CHARACTERS: [u16; 256] = {
    let mut characters = [0; 256];
    let (mut byte, mut next) = (0, 256);
    while byte < 256 {
        characters[byte] = byte as u16;
        if !is_plain(byte as u8) {
            characters[byte] = next;
            next += 1;
        }
        byte += 1;
    }
    characters
};

/// The byte of each character, in the order of the characters; 256 for those that stand for none.
const BYTES: [u16; 324] = {
    let mut bytes = [256; 324];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARACTERS[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
};

/// Writes bytes in the alphabet.
pub(crate) fn write(bytes: &[u8], out: &mut String) {
    let characters = bytes.iter().map(|byte| CHARACTERS[usize::from(*byte)]);
    out.extend(characters.filter_map(|code| char::from_u32(code.into())));
}

/// Appends the bytes that a text in the alphabet stands for. One with any other character stands for itself.
pub(crate) fn read(text: &str, out: &mut Vec<u8>) {
    let before = out.len();
    for character in text.chars() {
        let byte = BYTES.get(character as usize);
        match byte.and_then(|byte| u8::try_from(*byte).ok()) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(before);
                out.extend_from_slice(text.as_bytes());
                return;
            }
        }
    }
}
