// The server's end of a WebSocket that accepts everything, answers nothing, and gives what came unmasked (RFC 6455).

import { createHash } from "node:crypto";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Says yes to a browser that wants to upgrade. */
export function accept(request, socket) {
  const key = createHash("sha1").update(`${request.headers["sec-websocket-key"]}${MAGIC}`).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${key}\r\n\r\n`);
}

/** Cuts what a browser sends into frames. */
export class Frames {
  #rest = Buffer.alloc(0);

  /** @param {Buffer} bytes the next ones @returns {Buffer[]} the contents of the frames that they complete */
  push(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const contents = [];
    for (let frame = this.#next(); frame !== null; frame = this.#next()) contents.push(frame);
    return contents;
  }

  #next() {
    const bytes = this.#rest;
    if (bytes.length < 2) return null;
    let length = bytes[1] & 0x7f;
    let at = 2;
    const longer = { 126: 2, 127: 8 }[length] ?? 0;
    if (bytes.length < at + longer) return null;
    if (longer === 2) length = bytes.readUInt16BE(at);
    if (longer === 8) length = Number(bytes.readBigUInt64BE(at));
    at += longer;
    const mask = bytes[1] & 0x80 ? bytes.subarray(at, at + 4) : null;
    at += mask ? 4 : 0;
    if (bytes.length < at + length) return null;
    this.#rest = bytes.subarray(at + length);
    return Buffer.from(bytes.subarray(at, at + length)).map((byte, index) => byte ^ (mask?.[index & 3] ?? 0));
  }
}
