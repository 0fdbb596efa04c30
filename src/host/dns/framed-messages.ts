// DNS over TCP puts two octets of length before each message (RFC 1035 §4.2.2), and a stream cuts them anywhere: this puts them
// together again. Holds at most one message that is not whole.

import { concatBytes } from '../../base/bytes.ts';

const LENGTH_BYTES = 2;

export class FramedMessages {
  #rest: Uint8Array = new Uint8Array(0);

  /** The messages that are whole now, as copies. */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const bytes = concatBytes(this.#rest, chunk);
    const whole: Uint8Array[] = [];
    let offset = 0;
    while (bytes.length - offset >= LENGTH_BYTES) {
      const end = offset + LENGTH_BYTES + ((bytes[offset]! << 8) | bytes[offset + 1]!);
      if (end > bytes.length) break;
      whole.push(bytes.slice(offset + LENGTH_BYTES, end));
      offset = end;
    }
    this.#rest = bytes.slice(offset);
    return whole;
  }
}

/** At most 65,535 bytes. */
export function frameMessage(message: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(message.length >> 8, message.length & 0xff), message);
}
