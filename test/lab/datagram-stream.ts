// Sends UDP datagrams of 1,200 bytes at a rate: node datagram-stream.js ADDRESS PER-SECOND SECONDS. Nobody needs to listen there.

import { createSocket } from 'node:dgram';

const BYTES = 1_200;
const DISCARD_PORT = 9;

const [address, perSecond, seconds] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];
const socket = createSocket('udp4');
socket.on('error', () => undefined); // a port where nobody listens says so
const beganMs = performance.now();
let sent = 0;
for (;;) {
  const elapsedMs = performance.now() - beganMs;
  if (elapsedMs >= seconds * 1_000) break;
  const due = Math.floor((elapsedMs / 1_000) * perSecond) - sent;
  for (let i = 0; i < due; i++) socket.send(Buffer.alloc(BYTES), DISCARD_PORT, address);
  sent += due;
  await new Promise((resolve) => setTimeout(resolve, 1));
}
socket.close();
