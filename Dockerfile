FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.json ./
# without runtime/: it brings a clone a Node, and the image has one
RUN npm ci --workspaces=false --ignore-scripts
COPY bin bin
COPY build build
COPY protocols protocols
COPY src src
RUN npm run build && npm prune --workspaces=false --omit=dev --ignore-scripts && mkdir /data

# no shell, no package manager; user 65532
FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
COPY --from=build /app/package.json package.json
COPY --from=build /app/bin bin
COPY --from=build /app/dist dist
COPY --from=build /app/node_modules node_modules
COPY --from=build --chown=65532:65532 /data /data
ENV TRIVIUM_CONFIG=/config/trivium.yaml TRIVIUM_DATA_DIR=/data TRIVIUM_LOG_FORMAT=json
VOLUME /data
USER 65532:65532
# the embedded MQTT broker, and the admin server
EXPOSE 1883 7070
# alive, not ready: a gateway that waits for a broker does not get better by a restart
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/nodejs/bin/node", "/app/bin/trivium.js", "health", "--live"]
ENTRYPOINT ["/nodejs/bin/node", "/app/bin/trivium.js"]
CMD ["run"]
