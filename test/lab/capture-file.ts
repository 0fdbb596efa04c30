// Reads what tcpdump captured: which packets a filter matches, whether a text stands anywhere in the file's bytes, and the
// payloads of UDP datagrams. The file format is that of libpcap (pcap-savefile(5)), little endian, on Ethernet.

import { createReadStream, readFileSync } from 'node:fs';
import { exec } from './exec.ts';

/** One line per packet that the filter matches. */
export async function packetsIn(file: string, filter: string): Promise<readonly string[]> {
  const { stdout } = await exec(['tcpdump', '-n', '-r', file, filter]);
  return stdout.split('\n').filter((line) => line !== '');
}

export async function countPackets(file: string, filter: string): Promise<number> {
  const { stdout } = await exec(['tcpdump', '-r', file, '--count', filter]);
  return Number(/^(\d+) packet/m.exec(stdout)?.[1]);
}

/** True when the bytes of `text` stand in the file, also across the borders of what is read at once. */
export async function holdsText(file: string, text: string): Promise<boolean> {
  const wanted = Buffer.from(text, 'latin1');
  let tail = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    const bytes = Buffer.concat([tail, chunk as Buffer]);
    if (bytes.includes(wanted)) return true;
    tail = bytes.subarray(Math.max(0, bytes.length - wanted.length + 1));
  }
  return false;
}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;

/** The payloads of the IPv4 UDP datagrams that went from one address to the other, in order. */
export function udpPayloads(file: string, { from, to }: { from: string; to: string }): readonly Buffer[] {
  const bytes = readFileSync(file);
  const payloads: Buffer[] = [];
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= bytes.length; ) {
    const start = at + RECORD_HEADER_BYTES;
    at = start + bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(start, at);
    if (frame.readUInt16BE(12) !== 0x0800) continue;
    const packet = frame.subarray(ETHERNET_BYTES);
    const udp = packet.subarray((packet[0]! & 0x0f) * 4);
    const addresses = [packet.subarray(12, 16).join('.'), packet.subarray(16, 20).join('.')];
    if (packet[9] !== 17 || addresses[0] !== from || addresses[1] !== to) continue;
    payloads.push(udp.subarray(UDP_BYTES, udp.readUInt16BE(4)));
  }
  return payloads;
}
