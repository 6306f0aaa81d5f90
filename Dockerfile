# One image, both binaries: the command chooses (api by default). Plain Dockerfile syntax, so that every builder takes it.
ARG GO_VERSION=1.26

FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
# timetzdata puts the time zones into the binary: the final image has none. The other tags are the Makefile's.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags timetzdata,disable_grpc_modules,grpcnotrace \
    -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/api ./cmd/worker \
    && mkdir -p /data/zimage-gateway/pictures

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /usr/local/bin/
# A volume mounted here is writable: it takes over the owner.
COPY --from=build --chown=65532:65532 /data/ /var/lib/
# A number, as there is no /etc/passwd to look a name up in.
USER 65532:65532
EXPOSE 8080
CMD ["/usr/local/bin/api"]
