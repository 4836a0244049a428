import http from 'node:http';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

// What most teams write first: Express, http-proxy-middleware and a keep-alive agent.
const app = express();
app.use(
  createProxyMiddleware({
    target: process.env.UPSTREAM,
    agent: new http.Agent({ keepAlive: true }),
    changeOrigin: false,
  }),
);
app.listen(Number(process.env.PORT), '127.0.0.1');
