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
