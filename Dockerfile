# One image for every process of ours; docker-compose.yml says which one a container runs.
FROM node:24-slim

WORKDIR /app
ENV NODE_ENV=production

# The packages change less often than the code.
COPY package.json package-lock.json .npmrc ./
COPY platform/package.json platform/
COPY monolith/package.json monolith/
COPY extracted/catalog/package.json extracted/catalog/
COPY extracted/inventory/package.json extracted/inventory/
COPY extracted/notifications/package.json extracted/notifications/
COPY extracted/orders/package.json extracted/orders/
COPY extracted/payments/package.json extracted/payments/
COPY strangler-proxy/package.json strangler-proxy/
COPY migrations/package.json migrations/
COPY stack/package.json stack/
COPY e2e/package.json e2e/
COPY bench/package.json bench/
RUN npm ci && npm cache clean --force

COPY platform platform
COPY monolith monolith
COPY extracted extracted
COPY strangler-proxy strangler-proxy
COPY migrations migrations
COPY stack stack

# What a process keeps between runs; a named volume takes over this owner.
RUN mkdir -p /data /keys/trust /keys/shop /keys/proxy /keys/operator && chown -R node:node /data /keys
USER node
VOLUME /data

ENTRYPOINT ["node", "stack/compose/with-own-address.mjs"]
