// Stands in for an engine of a later version, in tests of what a daemon does with one: `future-engine SOCKET-PATH` listens there
// as the engine's user, greets with a protocol version of its own and bytes that nobody knows, and says `stop` when it ends
// because it was told so; anything else that it is told is a failure.

import { createServer } from 'node:net';
import { ENGINE_UID } from '../../src/router/engine/left-engine.ts';

const HELLO = Buffer.of(0, 0, 0, 4, 12, 0xff, 0xff, 42);
const UNKNOWN = Buffer.of(0, 0, 0, 2, 200, 1);
const STOP = Buffer.of(0, 0, 0, 1, 10);

process.setgid!(ENGINE_UID);
process.setuid!(ENGINE_UID);
createServer((daemon) => {
  daemon.on('error', () => undefined); // its end is what counts
  daemon.on('data', (bytes) => {
    process.stdout.write(STOP.equals(bytes) ? 'stop\n' : `told ${bytes.toString('hex')}\n`);
    process.exit(STOP.equals(bytes) ? 0 : 1);
  });
  daemon.write(Buffer.concat([HELLO, UNKNOWN]));
}).listen(process.argv[2], () => process.stdout.write('ready\n'));
