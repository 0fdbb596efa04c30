// Reading of what Docker sends: JSON whose shape is libnetwork's, from a process that we do not control. Every function returns
// what it promises or throws FabricError `usage` that names the field. Go leaves out empty maps and sends null for empty lists,
// so that absent, null and empty are one.

import { formatIp, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import { isMulticastMac, type Mac, parseMac } from '../base/ids.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** Ours: far longer than any name, address or id of Docker's. */
const TEXT_CHARS_MAX = 1024;
/** Ours: as many auxiliary addresses or subnets as one network may have. */
const LIST_MAX = 256;

export function fieldsOf(value: unknown, place: string): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(place, 'an object');
  return value as Fields;
}

/** Empty when absent. */
export function textOf(fields: Fields, key: string): string {
  const value = fields[key] ?? '';
  if (typeof value !== 'string' || value.length > TEXT_CHARS_MAX) throw wrong(key, 'a text');
  return value;
}

export function flagOf(fields: Fields, key: string): boolean {
  const value = fields[key] ?? false;
  if (typeof value !== 'boolean') throw wrong(key, 'true or false');
  return value;
}

export function listOf(fields: Fields, key: string): readonly Fields[] {
  const value = fields[key] ?? [];
  if (!Array.isArray(value)) throw wrong(key, 'a list');
  if (value.length > LIST_MAX) throw wrong(key, `a list of at most ${LIST_MAX}`);
  return value.map((item) => fieldsOf(item, key));
}

/** The values of a map from text to text. */
export function textsOf(fields: Fields, key: string): readonly string[] {
  const map = fieldsOf(fields[key], key);
  const keys = Object.keys(map);
  if (keys.length > LIST_MAX) throw wrong(key, `a map of at most ${LIST_MAX}`);
  return keys.map((name) => textOf(map, name));
}

/** An id of Docker's: it becomes part of keys and names of ours. */
export function idOf(fields: Fields, key: string): string {
  const id = textOf(fields, key);
  if (!/^[0-9a-z]{12,128}$/.test(id)) throw wrong(key, 'an id');
  return id;
}

/** Canonical text of an address with or without prefix length; null when absent. */
export function addressOf(fields: Fields, key: string): string | null {
  const text = textOf(fields, key);
  if (text === '') return null;
  const ip = text.includes('/') ? (parseInterfaceAddress(text)?.ip ?? null) : parseIp(text);
  if (ip !== null) return formatIp(ip);
  throw new FabricError('address-invalid', { what: `${key} ${JSON.stringify(text)} is no IP address` });
}

/** Null when absent. */
export function macOf(fields: Fields, key: string): Mac | null {
  const text = textOf(fields, key);
  if (text === '') return null;
  const mac = parseMac(text);
  if (mac !== null && !isMulticastMac(mac)) return mac;
  throw new FabricError('address-invalid', { what: `${JSON.stringify(text)} is no MAC of a container` });
}

function wrong(place: string, expected: string): FabricError {
  return new FabricError('usage', { what: `Docker's ${place} is not ${expected}` });
}
