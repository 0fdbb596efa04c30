// The fields of records, between protobuf and plain values: what comes in was written by another host, so each reader returns null
// (or an empty text) for anything that is not of the form and within the bounds that it is asked for, and never throws.

import type protobuf from 'protobufjs/light.js';
import {
  addressBits,
  type Cidr,
  cidrOf,
  formatIp,
  ipFromBytes,
  ipToBytes,
  parseCidr,
  parseIp,
} from '../base/address.ts';
import { toHex } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function encode(type: protobuf.Type, fields: Fields): Uint8Array {
  return new Uint8Array(type.encode(type.fromObject(fields)).finish());
}

/** Null when it is no protobuf of that shape; absent scalars have their default, absent messages are null. */
export function decode(type: protobuf.Type, value: Uint8Array): Fields | null {
  try {
    return type.toObject(type.decode(value), { defaults: true, arrays: true, longs: String });
  } catch {
    return null; // protobufjs reports malformed input by throwing; the caller counts the null
  }
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

/** Control characters are refused, because names reach terminals. */
export function isText(value: unknown, charsMax: number): value is string {
  return typeof value === 'string' && value.length <= charsMax && !/\p{Cc}|\p{Cs}/u.test(value);
}

/** A copy, so that a small record does not keep a large message alive. */
export function bytesOf(value: unknown, length: number): Uint8Array | null {
  return value instanceof Uint8Array && value.length === length ? new Uint8Array(value) : null;
}

/** Hex of exactly `length` bytes, else an empty string, which no identifier is. */
export function hexOf(value: unknown, length: number): string {
  return value instanceof Uint8Array && value.length === length ? toHex(value) : '';
}

export function listOf<T>(value: unknown, lengthMax: number, read: (item: unknown) => T | null): readonly T[] | null {
  if (!Array.isArray(value) || value.length > lengthMax) return null;
  const items = value.map(read);
  return items.every((item) => item !== null) ? items : null;
}

export function ipTextOf(value: unknown): string | null {
  const ip = value instanceof Uint8Array ? ipFromBytes(value) : null;
  return ip === null ? null : formatIp(ip);
}

export function cidrFrom(value: unknown, family: 4 | 6): Cidr | null {
  const { base, length } = (value ?? {}) as Fields;
  const ip = base instanceof Uint8Array ? ipFromBytes(base) : null;
  if (ip === null || ip.family !== family || !isNumber(length) || length > addressBits(family)) return null;
  const block = cidrOf(ip, length);
  return block.base === ip.value ? block : null;
}

export function prefixFields(cidr: string): Fields {
  const block = parseCidr(cidr);
  assert(block !== null, 'a genesis holds canonical ranges');
  return { base: ipToBytes({ family: block.family, value: block.base }), length: block.prefix };
}

export function ipBytes(text: string): Uint8Array {
  const ip = parseIp(text);
  assert(ip !== null, 'a record holds canonical addresses');
  return ipToBytes(ip);
}
