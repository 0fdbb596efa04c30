// What hosts ask each other when one of them is examined (`fabric doctor`, `fabric trace`), as bytes of the mesh's channel
// `examine`: kind 1, id 4, then the kind's fields. Readers pass over bytes behind what they know; malformed is null.

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { type Mac, macFromBytes, macToBytes } from '../base/ids.ts';

/** Ids are the asker's; an answer repeats its question's. */
export type ExaminationMessage =
  | { readonly kind: 'ask-clock'; readonly id: number }
  | { readonly kind: 'tell-clock'; readonly id: number; readonly wallMs: number }
  /** Try to reach me: by TCP where this link leads to, by UDP through the tunnel. */
  | { readonly kind: 'ask-reach'; readonly id: number }
  /** `tcpFault`: null when the connection stood, else why not. `udpHeard`: a datagram of yours came since you asked. */
  | { readonly kind: 'tell-reach'; readonly id: number; readonly tcpFault: string | null; readonly udpHeard: boolean }
  /** Which port of yours has this MAC? */
  | { readonly kind: 'ask-port'; readonly id: number; readonly mac: Mac }
  /** `port`: null when none has. */
  | { readonly kind: 'tell-port'; readonly id: number; readonly port: PortFacts | null };

export interface PortFacts {
  readonly hostIfname: string;
  /** In the container; empty: the host itself or a device that others put into the bridge. */
  readonly ifname: string;
  readonly name: string;
  /** The interface is up, and so is its other end. */
  readonly up: boolean;
}

const KINDS = ['ask-clock', 'tell-clock', 'ask-reach', 'tell-reach', 'ask-port', 'tell-port'] as const;
const TEXT_LENGTH_MAX = 256;
const MAC_BYTES = 6;
const WALL_MS_MAX = 8.64e15; // what a Date holds

export function encodeExamination(message: ExaminationMessage): Uint8Array {
  const writer = new ByteWriter().u8(KINDS.indexOf(message.kind) + 1).u32(message.id);
  switch (message.kind) {
    case 'tell-clock':
      writer.u64(Math.max(0, Math.round(message.wallMs)));
      break;
    case 'tell-reach':
      writer.u8(message.udpHeard ? 1 : 0).text16((message.tcpFault ?? '').slice(0, TEXT_LENGTH_MAX));
      break;
    case 'ask-port':
      writer.bytes(macToBytes(message.mac));
      break;
    case 'tell-port': {
      const { port } = message;
      writer.u8(port === null ? 0 : 1);
      if (port === null) break;
      writer.u8(port.up ? 1 : 0);
      for (const text of [port.hostIfname, port.ifname, port.name]) writer.text16(text.slice(0, TEXT_LENGTH_MAX));
    }
  }
  return writer.finish();
}

export function decodeExamination(bytes: Uint8Array): ExaminationMessage | null {
  const reader = new ByteReader(bytes);
  const kind = KINDS[reader.u8() - 1];
  const id = reader.u32();
  if (kind === undefined) return null;
  const message = read(kind, id, reader);
  return reader.failed ? null : message;
}

function read(kind: ExaminationMessage['kind'], id: number, reader: ByteReader): ExaminationMessage | null {
  switch (kind) {
    case 'ask-clock':
    case 'ask-reach':
      return { kind, id };
    case 'tell-clock': {
      const wallMs = Number(reader.u64());
      return wallMs <= WALL_MS_MAX ? { kind, id, wallMs } : null;
    }
    case 'tell-reach': {
      const udpHeard = reader.u8() === 1;
      const fault = printable(reader.text16());
      return { kind, id, udpHeard, tcpFault: fault === '' ? null : fault };
    }
    case 'ask-port': {
      const mac = reader.bytes(MAC_BYTES);
      return mac.length === MAC_BYTES ? { kind, id, mac: macFromBytes(mac) } : null;
    }
    case 'tell-port': {
      if (reader.u8() === 0) return { kind, id, port: null };
      const up = reader.u8() === 1;
      const [hostIfname, ifname, name] = [reader, reader, reader].map((each) => printable(each.text16()));
      return { kind, id, port: { hostIfname: hostIfname!, ifname: ifname!, name: name!, up } };
    }
  }
}

/** Foreign text ends on terminals: one line, no control characters, bounded. */
function printable(text: string): string {
  return text.slice(0, TEXT_LENGTH_MAX).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}
