// fabric between two hosts of the lab, containers attached by the CNI plugin. Each datapath is a contender of its own.

import type { Contender } from '../contender.ts';

export function fabric({ datapath, title }: { datapath: string; title: string }): Contender {
  return {
    name: datapath,
    title,
    async open(lab) {
      const flags = ['--datapath', datapath];
      const first = await lab.host(`${datapath.slice(0, 6)}-a`);
      const second = await lab.host(`${datapath.slice(0, 6)}-b`);
      await first.launch({ flags });
      await second.launch({ join: first, token: await first.token(), flags });
      const server = await first.container('server');
      const client = await second.container('client');
      return { client, server, serverIp: server.ip, daemons: [first, second] };
    },
  };
}
