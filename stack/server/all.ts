import type { Engine, ServerName } from '../addresses.ts';
import { consulServer } from './consul.ts';
import type { ServerDefinition } from './definition.ts';
import { mariadbServer } from './mariadb.ts';
import { mysqlServer } from './mysql.ts';
import { rabbitmqServer } from './rabbitmq.ts';
import { redisServer } from './redis.ts';

export function definitionOf(name: ServerName, engine: Engine): ServerDefinition {
  switch (name) {
    case 'mysql':
      return engine === 'mysql' ? mysqlServer : mariadbServer;
    case 'rabbitmq':
      return rabbitmqServer;
    case 'redis':
      return redisServer;
    case 'consul':
      return consulServer;
  }
}
