// Edits a WebAssembly module so that it really runs out of memory.

const MEMORY_SECTION = 5;

function readNumber(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7, at += 1) {
    value += (bytes[at] & 0x7f) * 2 ** shift;
    if (bytes[at] < 0x80) return { value, next: at + 1 };
  }
}

function writeNumber(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}

/**
 * The same module, whose one memory can grow by no more than so many pages of 64 KiB.
 *
 * @param {Buffer} module
 * @param {number} pages
 */
export function limitMemory(module, pages) {
  for (let at = 8; at < module.length; ) {
    const { value: size, next: start } = readNumber(module, at + 1);
    if (module[at] !== MEMORY_SECTION) {
      at = start + size;
      continue;
    }
    const count = readNumber(module, start);
    const { value: least } = readNumber(module, count.next + 1);
    if (count.value !== 1 || (module[count.next] & ~1) !== 0) throw new Error("this module has another kind of memory");
    const section = Buffer.concat([Buffer.from([1, 1]), writeNumber(least), writeNumber(least + pages)]);
    return Buffer.concat([module.subarray(0, at), Buffer.from([MEMORY_SECTION]), writeNumber(section.length), section, module.subarray(start + size)]);
  }
  throw new Error("this module has no memory of its own");
}
