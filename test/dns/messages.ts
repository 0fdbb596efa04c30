// Messages for the tests of the name server, by npm's dns-packet: what others send, and what is read of our answers.

import dnsPacket, { type AnswerRecord } from 'dns-packet';
import { type Query, readQuery } from '../../src/dns/query.ts';

const SOA_DATA = {
  mname: 'ns.example.test',
  rname: 'hostmaster.example.test',
  serial: 1,
  refresh: 1,
  retry: 1,
  expire: 1,
  minimum: 30,
};

export interface QueryParts {
  readonly id?: number;
  readonly type?: string;
  readonly class?: string;
  readonly flags?: number;
  readonly edns?: Partial<Extract<AnswerRecord, { type: 'OPT' }>> | null;
}

export function queryBytes(name: string, parts: QueryParts = {}): Uint8Array {
  const { id = 7, type = 'A', class: asked = 'IN', flags = 0x0100, edns = null } = parts;
  const option: AnswerRecord = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    options: [],
    ...edns,
  };
  const questions = [{ name, type, class: asked }];
  return dnsPacket.encode({ id, type: 'query', flags, questions, additionals: edns === null ? [] : [option] });
}

/** A query that can be served. */
export function query(name: string, parts: QueryParts = {}, transport: 'udp' | 'tcp' = 'udp'): Query {
  const read = readQuery(queryBytes(name, parts), transport);
  if (read.kind !== 'query') throw new Error(`${name} is ${read.kind}`);
  return read.query;
}

export interface ReplyParts {
  readonly answers?: readonly AnswerRecord[];
  readonly authorities?: readonly AnswerRecord[];
  readonly flags?: number;
  readonly id?: number;
  readonly name?: string;
}

/** What a server would answer to these bytes. */
export function replyTo(asked: Uint8Array, parts: ReplyParts = {}): Uint8Array {
  const { id, questions } = dnsPacket.decode(Buffer.from(asked));
  const { answers = [], authorities = [], flags = 0x8180 } = parts;
  const named = parts.name === undefined ? questions : [{ ...questions[0]!, name: parts.name }];
  return dnsPacket.encode({ id: parts.id ?? id, type: 'response', flags, questions: named, answers, authorities });
}

export function address(name: string, data: string, ttl = 60): AnswerRecord {
  return { type: data.includes(':') ? 'AAAA' : 'A', name, ttl, data };
}

export function soa(name: string, ttl = 60): AnswerRecord {
  return { type: 'SOA', name, ttl, data: SOA_DATA };
}

/** Code, flags and the data of all records, as an asker sees them. */
export function seen(bytes: Uint8Array) {
  const { id, rcode, flags, questions, answers, authorities, additionals } = dnsPacket.decode(Buffer.from(bytes));
  const dataOf = (records: readonly AnswerRecord[]) =>
    records.map((record) => (record.type === 'OPT' ? 'OPT' : `${record.name} ${record.type} ${textOf(record)}`));
  return {
    id,
    rcode,
    question: questions[0]?.name,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    answers: dataOf(answers),
    authorities: dataOf(authorities),
    additionals: dataOf(additionals),
  };
}

function textOf(record: Exclude<AnswerRecord, { type: 'OPT' }>): string {
  return record.type === 'SOA' ? String(record.data.minimum) : record.data;
}
