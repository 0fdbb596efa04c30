// Writes answers. The question comes back as it was asked, octet by octet; records by npm's dns-packet. An answer that does not
// fit is cut at a record and marked as truncated, so that the asker comes again by TCP (RFC 2181 §9, RFC 7766).

import dnsPacket, { type AnswerRecord, type SoaData } from 'dns-packet';
import { concatBytes } from '../base/bytes.ts';
import { type Query, UDP_BYTES_MAX } from './query.ts';
import { FLAG, HEADER_BYTES, RCODE } from './wire.ts';

/** A record whose owner is the name asked for. */
export interface OwnRecord {
  readonly type: 'A' | 'AAAA' | 'NS' | 'PTR';
  readonly ttlS: number;
  /** An address, or a name. */
  readonly data: string;
}

export interface SoaRecord {
  readonly zone: string;
  readonly ttlS: number;
  readonly data: SoaData;
}

export interface Answer {
  readonly rcode: number;
  /** True: from our own zones. */
  readonly authoritative: boolean;
  readonly records: readonly OwnRecord[];
  /** In the answer when it was asked for, in the authority section of a negative answer (RFC 2308 §3). */
  readonly soa: SoaRecord | null;
  readonly soaAsked?: boolean;
}

/** A pointer to the question's name, which always stands at the same place. */
const TO_QUESTION = Uint8Array.of(0xc0, HEADER_BYTES);

export function encodeAnswer(query: Query, answer: Answer): Uint8Array {
  const soa =
    answer.soa === null
      ? []
      : [dnsPacket.answer.encode({ type: 'SOA', name: answer.soa.zone, ttl: answer.soa.ttlS, data: answer.soa.data })];
  const options = optionRecords(query, answer.rcode);
  const authority = answer.soaAsked === true ? [] : soa;
  let room = query.answerBytesMax - HEADER_BYTES - query.question.length - bytesOf(options) - bytesOf(authority);
  const answers: Uint8Array[] = [];
  let isCut = false;
  for (const record of encodedRecords(answer, answer.soaAsked === true ? soa : [])) {
    isCut = record.length > room;
    if (isCut) break;
    room -= record.length;
    answers.push(record);
  }
  const flags =
    (answer.authoritative ? FLAG.authoritative : 0) |
    (isCut ? FLAG.truncated : 0) |
    FLAG.recursionAvailable |
    (answer.rcode & 15);
  const counts = [1, answers.length, authority.length, options.length];
  const header = encodeHeader(query.id, FLAG.response | query.repeatedFlags | flags, counts);
  return concatBytes(header, query.question, ...answers, ...authority, ...options);
}

/** One after the other: of thousands of addresses few fit, and whoever asks may ask often. */
function* encodedRecords({ records }: Answer, further: readonly Uint8Array[]): Iterable<Uint8Array> {
  for (const { type, ttlS, data } of records) yield ownedByQuestion({ type, name: '.', ttl: ttlS, data });
  yield* further;
}

/** An answer without records. */
export function encodeError(query: Query, rcode: number): Uint8Array {
  return encodeAnswer(query, { rcode, authoritative: false, records: [], soa: null });
}

/** To a message of which nothing but its id could be read. */
export function encodeMalformed(id: number): Uint8Array {
  return encodeHeader(id, FLAG.response | RCODE.formErr, [0, 0, 0, 0]);
}

/** The question again, for a server that is asked in an asker's place. */
export function encodeQuestion(query: Query, id: number): Uint8Array {
  const options = optionRecords(query, 0);
  return concatBytes(encodeHeader(id, query.repeatedFlags, [1, 0, 0, options.length]), query.question, ...options);
}

export function encodeHeader(id: number, flags: number, counts: readonly number[]): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  for (const [index, word] of [id, flags, ...counts].entries()) view.setUint16(index * 2, word);
  return header;
}

/** Only to askers that sent one (RFC 6891 §6.1.1). */
function optionRecords({ edns }: Query, rcode: number): readonly Uint8Array[] {
  if (edns === null) return [];
  const option: AnswerRecord = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: UDP_BYTES_MAX,
    extendedRcode: rcode >> 4,
    ednsVersion: 0,
    flags: edns.dnssecOk ? 0x8000 : 0,
    options: [],
  };
  return [dnsPacket.answer.encode(option)];
}

/** Encoded with the root as owner, whose one octet gives way to the pointer. */
function ownedByQuestion(record: AnswerRecord): Uint8Array {
  return concatBytes(TO_QUESTION, dnsPacket.answer.encode(record).subarray(1));
}

function bytesOf(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0);
}
