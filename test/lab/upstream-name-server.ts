// A name server of the lab's, as a program: `node … ADDRESS PORT`. Stands for the host's own: knows one name, answers a large one
// by TCP only, keeps silent about another, and denies the rest. Each question is a line on standard output: `udp NAME`.

import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import dnsPacket, { type AnswerRecord } from 'dns-packet';
import { FramedMessages, frameMessage } from '../../src/host/dns/framed-messages.ts';

const NXDOMAIN = 3;
const TRUNCATED = 0x0200;
const LARGE = 300;

function answer(message: Uint8Array, transport: 'udp' | 'tcp'): Uint8Array | null {
  const { id, questions } = dnsPacket.decode(Buffer.from(message));
  const [question] = questions;
  const name = question!.name.toLowerCase();
  process.stdout.write(`${transport} ${name}\n`);
  const respond = (flags: number, answers: readonly AnswerRecord[], authorities: readonly AnswerRecord[] = []) =>
    dnsPacket.encode({ id, type: 'response', flags: flags | 0x0080, questions, answers, authorities });
  const address = (data: string): AnswerRecord => ({ type: 'A', name: question!.name, ttl: 60, data });
  if (name === 'silent.example.test') return null;
  if (name === 'www.example.test') return respond(0, question!.type === 'A' ? [address('203.0.113.80')] : []);
  if (name === 'large.example.test') {
    if (transport === 'udp') return respond(TRUNCATED, []);
    return respond(
      0,
      Array.from({ length: LARGE }, (_, i) => address(`198.51.${100 + (i >> 8)}.${i & 255}`)),
    );
  }
  const times = { serial: 1, refresh: 60, retry: 60, expire: 60, minimum: 60 };
  const soa = { mname: 'example.test', rname: 'hostmaster.example.test', ...times };
  return respond(NXDOMAIN, [], [{ type: 'SOA', name: 'example.test', ttl: 60, data: soa }]);
}

const [ip, port] = process.argv.slice(2);
const udp = createSocket('udp4', (message, from) => {
  const bytes = answer(message, 'udp');
  if (bytes !== null) udp.send(bytes, from.port, from.address);
});
udp.bind(Number(port), ip);
const tcp = createServer((socket) => {
  const messages = new FramedMessages();
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    for (const message of messages.push(chunk)) {
      const bytes = answer(message, 'tcp');
      if (bytes !== null) socket.write(frameMessage(bytes));
    }
  });
});
tcp.listen(Number(port), ip, () => process.stdout.write('listening\n'));
