// Makes the Docker plugin with the real Docker and the real socket; nothing of Docker's is touched until it is enabled.

import type { Log, Random, Timers } from '../base/capabilities.ts';
import { DockerApi } from '../host/docker/docker-api.ts';
import { DockerService, PLUGIN_SOCKET } from './docker-service.ts';
import { LocalApi } from './local-api.ts';

export function openDocker(ports: {
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}): DockerService {
  const { timers, random, log } = ports;
  const taken = {
    what: `another process is Docker's plugin fabric`,
    why: `it answers on ${PLUGIN_SOCKET}`,
    fix: 'Docker knows plugins by name, so that one daemon of a host can be it',
  };
  const makeSocket = (routes: ConstructorParameters<typeof LocalApi>[0]['routes']): LocalApi =>
    new LocalApi({ socketPath: PLUGIN_SOCKET, taken, log, routes });
  return new DockerService({ timers, random, log, api: new DockerApi(), makeSocket });
}
