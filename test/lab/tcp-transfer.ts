// One end of a TCP transfer inside a container's namespace: `receive PORT` says "listening", then the SHA-256 of what came;
// `send HOST PORT BYTES` says the SHA-256 of what it sent.

import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';

const [mode, ...args] = process.argv.slice(2);
const hash = createHash('sha256');
if (mode === 'receive') {
  const server = createServer((socket) => {
    server.close();
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => process.stdout.write(`${hash.digest('hex')}\n`));
  });
  server.listen(Number(args[0]), () => process.stdout.write('listening\n'));
} else {
  const content = Buffer.allocUnsafe(Number(args[2]));
  for (let i = 0; i + 4 <= content.length; i += 4) content.writeUInt32LE(Math.imul(i + 1, 2654435761) >>> 0, i);
  connect(Number(args[1]), args[0]!).end(content);
  process.stdout.write(`${hash.update(content).digest('hex')}\n`);
}
