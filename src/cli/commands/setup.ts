// `fabric setup`: what of this host's other programs shall use fabric. Each part is installed only when it is asked for, and
// `--remove` takes it back.

import { DaemonClient } from '../client.ts';

interface DockerOptions {
  readonly runDir: string;
  readonly remove?: boolean;
}

/** Docker finds its plugin by the socket that the daemon opens: nothing of Docker's own files is touched. */
export async function setupDocker({ runDir, remove = false }: DockerOptions): Promise<void> {
  await new DaemonClient(runDir).post('/v1/docker', { enabled: !remove });
  process.stdout.write(
    remove
      ? 'fabric is no plugin of Docker any more\n'
      : 'Docker finds the drivers fabric (network and IPAM) now, and after each launch. On every host:\n' +
          '    docker network create -d fabric --ipam-driver fabric fabric\n',
  );
}
