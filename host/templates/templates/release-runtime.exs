
# Added by gatling for this server: visitors come through nginx, by these host names.
import Config
