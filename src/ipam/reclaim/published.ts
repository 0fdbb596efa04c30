// What every host publishes for the voting, as entries of its gossip map: that it speaks this protocol, whether it fences itself, how
// far it has voted; and voters the decisions. Decoding takes bytes from outside: null on anything malformed.

import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { Mark } from './acceptor.ts';

export const STATE_ENTRY = 'state';

export interface PublishedState {
  /** It stops allocating when no majority of voters promises; never taken back. */
  readonly enrolled: boolean;
  readonly mark: Mark;
}

const FORMAT = 1;

export function encodeState({ enrolled, mark }: PublishedState): Uint8Array {
  return new ByteWriter(16)
    .u8(FORMAT)
    .u8(enrolled ? 1 : 0)
    .u32(mark.slot)
    .u32(mark.change)
    .finish();
}

/** Newer versions may append fields. */
export function decodeState(bytes: Uint8Array): PublishedState | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  const enrolled = reader.u8();
  const mark = { slot: reader.u32(), change: reader.u32() };
  return reader.failed || format !== FORMAT || enrolled > 1 ? null : { enrolled: enrolled === 1, mark };
}
